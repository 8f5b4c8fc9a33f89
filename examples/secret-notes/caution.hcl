# How Caution builds, runs and verifies this app. Every key: docs/src/caution-hcl.md
enclave "default" {
  build {
    app_sources = ["https://git.example.org/secret-notes.git"]
  }

  unit "default" {
    command = "/app/secret-notes"
  }

  resources {
    cpu       = 2
    memory_mb = 256
  }

  network {
    ingress {
      cidr_ipv4 = "0.0.0.0/0"
      port      = 8083
    }
    http {
      # Behind the encryption, where nobody reaches it from outside.
      port = 8083

      e2e_encryption {
        mode         = "steve"
        key_exchange = "xwing"
      }
    }
  }
}
