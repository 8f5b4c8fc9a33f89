//! The same bytes from other processors.

use super::*;

/// Hashes and checksums choose their code by what the processor says it has, the C library by its tunables too.
#[test]
fn a_processor_with_other_features_builds_the_same_bytes() {
    assert!(
        Command::new("qemu-x86_64").arg("--version").output().is_ok(),
        "qemu-x86_64 plays the other processors: apt-get install qemu-user"
    );
    let scratch = app();
    let here = build_quietly(&scratch).expect("builds");
    for processor in [
        "env GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX512F,-AVX2,-AVX,-SSE4_2,-SSSE3,-ERMS",
        // SSE3 and nothing newer.
        "qemu-x86_64 -cpu qemu64",
        // All that QEMU can play: AVX2 and carry-less products since 7.2, instructions for SHA not before 9.
        "qemu-x86_64 -cpu max",
    ] {
        fs::remove_dir_all(scratch.path().join("eif-stage")).expect("removes");
        let ended = child(scratch.path(), &format!("exec {processor} \"$0\" \"$@\""));
        assert!(ended.success(), "{processor}: {ended}");
        let there = fs::read(scratch.path().join("eif-stage/output/enclave.eif")).expect("was built");
        assert_eq!(Sha256Digest::of(&there), here.sha256, "{processor}");
    }
}
