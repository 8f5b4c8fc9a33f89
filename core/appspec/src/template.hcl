# How this app is built, run and reached. Every key: specs/appspec.md.
# `caution apps build` builds it, `caution apps run` runs it here, `caution verify` proves it.

enclave "default" {
  # Where other people find the source, so that they can verify the app. A Containerfile (or
  # Dockerfile) is found by itself.
  # build {
  #   containerfile = "Containerfile"
  #   app_sources   = ["https://git.example.com/you/app.git"]
  # }

  # What runs. Without it: the image's ENTRYPOINT and CMD.
  # unit "default" {
  #   command = "/app/server"
  #   args    = ["--port", "8080"]
  #   env     = { LOG_LEVEL = "info" }
  # }

  resources {
    cpu       = 2
    memory_mb = 512
  }

  network {
    # TCP ports people may reach. 49500 to 49600 belong to the platform.
    ingress {
      cidr_ipv4 = "0.0.0.0/0"
      port      = 8080
    }

    # What the app may reach outside. Without such a block: nothing.
    # egress {
    #   cidr_ipv4   = "0.0.0.0/0"
    #   port        = 443
    #   ip_protocol = "tcp"
    # }

    # The port that speaks HTTP. Without this block every port is plain TCP.
    # http {
    #   port = 8080
    # }
    # To have requests encrypted into the enclave write `e2e_encryption { enabled = true }` in it.
    # The app then listens on another port than 8080, as a rule on 8083, named here and above.
  }

  # Lets what the app writes leave the enclave: whoever runs the host reads it.
  # logs {
  #   enabled = true
  # }

  # Opens the console and zeroes the attested PCRs: such an enclave never verifies.
  # debug {
  #   enabled = true
  # }
}
