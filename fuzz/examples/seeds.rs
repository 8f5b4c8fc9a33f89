//! Writes small valid inputs to `corpus/<target>/`, from which the fuzzer begins.

use caution_abi::boot_plan::BootPlan;
use caution_abi::manifest::{AppSource, EnclaveOsRef, Manifest};
use caution_abi::nsm::{Request, Response};
use caution_abi::seal::Seal;
use caution_eif::{Limits, Signer};
use caution_measure::{ImagePcrs, Measurements, Pcr};
use caution_rootfs::merge_archives;
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;
use tar::{Builder, EntryType, Header};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let certificate = std::fs::read(tree("core/eif/tests/signer/certificate.pem"))?;
    let key = std::fs::read(tree("core/eif/tests/signer/key.pem"))?;
    let signed = caution_fuzz::image(Some(&Signer::from_pem(&key, &certificate)?));
    seed("eif", "signed", &signed)?;
    seed("eif", "unsigned", &caution_fuzz::image(None))?;
    let section = caution_eif::read(signed.as_slice(), &Limits::default())?.signature_unverified;
    seed("eif_signature", "good", &section.expect("is signed"))?;

    let layers = [("files", files()?), ("links", links()?), ("sparse", sparse()?)];
    for (name, layer) in &layers {
        seed("layer", name, layer)?;
        let merged = merge_archives(&[layer], &caution_fuzz::limits(), &std::env::temp_dir())?;
        let archive = merged.write_cpio("rootfs", &[], Vec::new())?;
        ramdisks(name, &archive)?;
        seed("cpio", name, &archive)?;
    }
    let layer = &layers[0].1;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(layer)?;
    let zstd =
        ruzstd::encoding::compress_to_vec(layer.as_slice(), ruzstd::encoding::CompressionLevel::Fastest);
    for (name, stored) in [("plain", layer.clone()), ("gzip", gzip.finish()?), ("zstd", zstd)] {
        seed("image_archive", name, &docker_archive(&stored)?)?;
    }
    for (name, document) in documents() {
        seed("oci_document", name, document.to_string().as_bytes())?;
    }
    seed("procfile", "hello", &std::fs::read(tree("examples/hello/Procfile"))?)?;
    seed("hcl", "llm-tokens", &std::fs::read(tree("examples/llm-tokens/caution.hcl"))?)?;
    pairs()?;
    sessions()?;
    statements()?;
    attestation_documents()
}

/// What a client and an enclave say to each other.
fn sessions() -> Result<(), Box<dyn std::error::Error>> {
    for suite in ["x25519", "xwing"] {
        let session = std::fs::read(tree(&format!("specs/vectors/steve/{suite}.json")))?;
        let session: Value = serde_json::from_slice(&session)?;
        let bytes = |value: &Value| {
            let digits = value.as_str().unwrap_or_default();
            data_encoding::HEXLOWER.decode(digits.as_bytes())
        };
        seed("steve", &format!("{suite}-keys"), &bytes(&session["key_configs"])?)?;
        seed("steve", &format!("{suite}-claims"), &bytes(&session["epoch_claims"])?)?;
        let session = std::fs::read(tree(&format!("specs/vectors/steve/v2-{suite}.json")))?;
        let session: Value = serde_json::from_slice(&session)?;
        for name in ["session_request", "session_response", "client_confirmation"] {
            seed("steve_v2", &format!("{suite}-{name}"), &bytes(&session[name])?)?;
        }
        let request = &session["exchanges"][0]["request_plain"];
        seed("steve_v2", &format!("{suite}-request"), &bytes(request)?)?;
    }
    let response = b"\xa3\x66status\x18\xc8\x67headers\x81\x82\x61a\x61b\x64body\x42hi";
    seed("steve_v2", "response", response)?;
    for (name, message) in [
        ("request", &b"\x02\x03GET\x05https\x01a\x01/\x01a\x01b\0\x02hi\0\0"[..]),
        ("response", b"\x03\x40\x67\0\x40\xc8\x01a\x01b\0\x02hi\0\x01c\x01d\0"),
        ("error", b"\xa2\x01\x64busy\x02\xf4"),
    ] {
        seed("steve", name, message)?;
    }
    Ok(())
}

/// Pairs of files as two builds leave them.
fn pairs() -> Result<(), Box<dyn std::error::Error>> {
    for folder in std::fs::read_dir(tree("specs/vectors/compare"))? {
        let folder = folder?.path();
        let expect: Value = serde_json::from_slice(&std::fs::read(folder.join("expect.json"))?)?;
        let path = expect["file"].as_str().ok_or("a pair names no file")?;
        let (left, right) =
            (std::fs::read(folder.join("left").join(path))?, std::fs::read(folder.join("right").join(path))?);
        let length = u16::try_from(left.len())?.to_be_bytes();
        let name = folder.file_name().ok_or("a pair has no name")?.to_string_lossy().into_owned();
        seed("content", &name, &[path.as_bytes(), &[0], &length, &left, &right].concat())?;
    }
    Ok(())
}

/// An archive in every compression that ramdisks have, and two in a row.
fn ramdisks(name: &str, archive: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
    let zstd = ruzstd::encoding::compress_to_vec(archive, ruzstd::encoding::CompressionLevel::Fastest);
    let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
    lz4.write_all(archive)?;
    let block = lz4_flex::block::compress(archive);
    let length = u32::try_from(block.len())?.to_le_bytes();
    let blocks = [&0x184c_2102_u32.to_le_bytes()[..], &length, &block].concat();
    let mut xz = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::default())?;
    xz.write_all(archive)?;
    let twice = [archive, &zstd].concat();
    for (form, bytes) in [
        ("plain-zstd", twice),
        ("zstd", zstd),
        ("lz4", lz4.finish()?),
        ("lz4-blocks", blocks),
        ("xz", xz.finish()?),
    ] {
        seed("ramdisk", &format!("{name}-{form}"), &bytes)?;
    }
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(archive)?;
    seed("ramdisk", &format!("{name}-gzip"), &gzip.finish()?)?;
    Ok(())
}

/// What an image and its neighbours say in JSON, CBOR and text, once with everything that may be said.
fn statements() -> Result<(), Box<dyn std::error::Error>> {
    let app = json!({
        "argv": ["/app/hello", "-v"], "env": {"PATH": "/bin"}, "cwd": "/", "uid": 1000, "gid": 1000, "groups": [1000],
    });
    let ready = json!({"kind": "tcp", "port": 8081, "timeout_s": 60});
    let restart =
        json!({"policy": "on_failure", "max_restarts": 5, "backoff_ms": 1000, "backoff_max_ms": 30000});
    let plan = json!({
        "version": 1, "app": app, "ports": [8081], "http_port": 8081, "readiness": ready, "restart": restart, "logs": true,
    });
    let plan: BootPlan = serde_json::from_value(plan)?;
    let e2e = serde_json::from_value(json!({
        "suite": "xwing", "app_port": 8083, "app_protocol": "h2c", "origins": ["https://app.example"],
        "plaintext_fallback": true, "steve_v2": true,
    }))?;
    let encrypted = BootPlan { http_port: None, e2e: Some(e2e), ..plan.clone() };
    let pcr = Pcr::new([7; 48]);
    let manifest = Manifest {
        version: Manifest::VERSION.into(),
        app_source: Some(AppSource {
            urls: vec!["https://git.example.org/a.git".into()],
            commit: "0".repeat(40),
            branch: Some("main".into()),
        }),
        enclave_source: vec!["https://git.example.org/os.git".into()],
        run_command: plan.app.argv.clone(),
        ports: vec![8080],
        http_port: Some(8080),
        e2e: encrypted.e2e.clone(),
        logs: true,
        boot_plan_sha256: plan.digest(),
        enclaveos: EnclaveOsRef { version: "0.1.0".into(), pcr1: pcr },
        metadata: Some("text".into()),
    };
    seed("boot_plan", "full", &plan.to_bytes())?;
    seed("boot_plan", "encrypted", &encrypted.to_bytes())?;
    seed("manifest", "full", &manifest.to_bytes())?;
    seed("seal", "good", &Seal::new(7).to_bytes())?;
    let measurements = Measurements { pcr0: pcr, pcr1: pcr, pcr2: pcr };
    for (name, pcr8) in [("unsigned", None), ("signed", Some(pcr))] {
        seed("pcr_file", name, ImagePcrs { measurements, pcr8 }.to_text().as_bytes())?;
    }
    let some = Some(&b"bytes"[..]);
    for (name, request) in [
        ("attestation", Request::Attestation { user_data: some, nonce: some, public_key: None }),
        ("pcr", Request::DescribePcr { index: 3 }),
        ("random", Request::GetRandom),
    ] {
        seed("nsm_request", name, &request.to_bytes())?;
    }
    let document = b"document".to_vec();
    for (name, response) in [
        ("attestation", Response::Attestation { document }),
        ("pcr", Response::DescribePcr { lock: true, data: vec![0; 48] }),
        ("random", Response::GetRandom { random: vec![9; 16] }),
        ("error", Response::Error("InvalidArgument".into())),
    ] {
        seed("nsm_response", name, &response.to_bytes())?;
    }
    Ok(())
}

/// The documents of the vectors, good and bad.
fn attestation_documents() -> Result<(), Box<dyn std::error::Error>> {
    for vector in std::fs::read_dir(tree("specs/vectors/attest"))? {
        let vector: Value = serde_json::from_slice(&std::fs::read(vector?.path())?)?;
        let (Some(name), Some(document)) = (vector["name"].as_str(), vector["document"].as_str()) else {
            continue;
        };
        let document = data_encoding::BASE64.decode(document.as_bytes())?;
        seed("evidence", name, &document)?;
        seed("evidence_verify", name, &document)?;
    }
    Ok(())
}

fn files() -> std::io::Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    tar.append_data(&mut header(EntryType::Directory, 0), "etc/", &b""[..])?;
    let passwd = b"root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/app:/bin/sh\n";
    tar.append_data(&mut header(EntryType::Regular, passwd.len()), "etc/passwd", &passwd[..])?;
    let group = b"root:x:0:\napp:x:1000:\nmore:x:7:app\n";
    tar.append_data(&mut header(EntryType::Regular, group.len()), "etc/group", &group[..])?;
    tar.append_pax_extensions([("SCHILY.xattr.user.a", &b"1"[..]), ("path", &b"app/a"[..])])?;
    tar.append_data(&mut header(EntryType::Regular, 3), "b", &b"abc"[..])?;
    // A name beyond 100 bytes takes a header of its own.
    tar.append_data(&mut header(EntryType::Regular, 0), "n".repeat(120), &b""[..])?;
    tar.into_inner()
}

fn links() -> std::io::Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    tar.append_data(&mut header(EntryType::Regular, 1), "a/b/c", &b"x"[..])?;
    tar.append_link(&mut header(EntryType::Link, 0), "a/d", "a/b/c")?;
    tar.append_link(&mut header(EntryType::Symlink, 0), "up", "a/../a/b")?;
    tar.append_data(&mut header(EntryType::Regular, 0), "up/through", &b""[..])?;
    tar.append_data(&mut header(EntryType::Regular, 0), "a/.wh.d", &b""[..])?;
    tar.append_data(&mut header(EntryType::Regular, 0), "a/b/.wh..wh..opq", &b""[..])?;
    tar.append_data(&mut header(EntryType::Fifo, 0), "fifo", &b""[..])?;
    tar.append_data(&mut header(EntryType::Char, 0), "null", &b""[..])?;
    tar.into_inner()
}

fn sparse() -> std::io::Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    let map = format!("{:\0<512}content", "1\n1024\n7\n");
    tar.append_pax_extensions([
        ("GNU.sparse.major", &b"1"[..]),
        ("GNU.sparse.minor", &b"0"[..]),
        ("GNU.sparse.realsize", &b"4096"[..]),
        ("GNU.sparse.name", &b"holes"[..]),
    ])?;
    tar.append_data(&mut header(EntryType::Regular, map.len()), "GNUSparseFile.0/holes", map.as_bytes())?;
    tar.into_inner()
}

fn header(kind: EntryType, size: usize) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size as u64);
    header.set_device_major(1).and_then(|()| header.set_device_minor(3)).expect("GNU's form has devices");
    header
}

/// What `docker save` wrote before it knew layouts: nothing in it is named by a digest.
fn docker_archive(layer: &[u8]) -> std::io::Result<Vec<u8>> {
    let image = json!([{"Config": "c.json", "Layers": ["l"]}]).to_string();
    let mut tar = Builder::new(Vec::new());
    let config = configuration().to_string();
    for (name, content) in [("manifest.json", image.as_bytes()), ("c.json", config.as_bytes()), ("l", layer)]
    {
        tar.append_data(&mut header(EntryType::Regular, content.len()), name, content)?;
    }
    tar.into_inner()
}

fn documents() -> [(&'static str, Value); 4] {
    let digest = format!("sha256:{}", "0".repeat(64));
    let blob = |kind: &str| {
        let kind = format!("application/vnd.oci.image.{kind}");
        json!({"mediaType": kind, "digest": digest, "size": 1})
    };
    let mut image = blob("manifest.v1+json");
    image["platform"] = json!({"os": "linux", "architecture": "amd64"});
    let layers = [blob("layer.v1.tar"), blob("layer.v1.tar+gzip"), blob("layer.v1.tar+zstd")];
    [
        ("index", json!({"schemaVersion": 2, "manifests": [image]})),
        ("manifest", json!({"schemaVersion": 2, "config": blob("config.v1+json"), "layers": layers})),
        ("configuration", configuration()),
        ("docker", json!([{"Config": "c.json", "Layers": ["a/layer.tar"]}])),
    ]
}

fn configuration() -> Value {
    let run = json!({
        "Entrypoint": ["/app"], "Cmd": null, "Env": ["PATH=/bin"], "WorkingDir": "/", "User": "app",
    });
    let diff_id = format!("sha256:{}", "0".repeat(64));
    json!({"architecture": "amd64", "os": "linux", "config": run, "rootfs": {"diff_ids": [diff_id]}})
}

fn seed(target: &str, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let folder = tree("fuzz/corpus").join(target);
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join(name), bytes)
}

fn tree(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}
