//! Builds and loads EnclaveOS releases: kernel, ramdisk 0, command line.
