# How Caution builds, runs and verifies this app. Every key: docs/src/caution-hcl.md
enclave "default" {
  build {
    app_sources = ["https://git.example.org/llm-tokens.git"]
  }

  unit "default" {
    command = "/app/llm-tokens"
  }

  resources {
    cpu       = 2
    memory_mb = 256
  }

  network {
    ingress {
      cidr_ipv4 = "0.0.0.0/0"
      port      = 8080
    }
    http {
      port = 8080
    }
  }
}
