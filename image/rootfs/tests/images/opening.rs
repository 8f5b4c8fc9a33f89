//! Images that are good, in every form.

use crate::layout::{CONFIG, INDEX, LAYER, Layout, gzip, tar, zstd};
use crate::{paths, tree_of};
use caution_measure::Sha256Digest;
use caution_rootfs::{EntryError, Limits, RootfsError, oci};
use serde_json::json;
use std::os::unix::fs::FileExt as _;

#[test]
fn a_layout_opens_as_folder_and_as_archive() {
    let layout = Layout::of(&[tar(&[("a", "1"), ("b", "2")]), tar(&[(".wh.a", ""), ("c", "3")])]);
    let folder = oci::open(layout.path(), &Limits::default()).unwrap();
    let archive = oci::open(&layout.archive(), &Limits::default()).unwrap();
    assert_eq!(
        (folder.digest, &folder.config, &folder.layers),
        (archive.digest, &archive.config, &archive.layers)
    );
    assert_eq!(folder.layers.len(), 2);
    for path in [layout.path().to_owned(), layout.archive()] {
        let tree = tree_of(&path, &Limits::default()).unwrap();
        assert_eq!(paths(&tree), ["b", "c"]);
        assert_eq!(tree.read("c", 9).unwrap().as_deref(), Some(&b"3"[..]));
    }
}

#[test]
fn the_configuration_is_read_and_null_is_empty() {
    let layout = Layout::new();
    let run = json!({
        "Entrypoint": ["/app", "--x"], "Cmd": null, "Env": ["PATH=/bin", "EMPTY="], "WorkingDir": "/srv",
        "User": "app:grp", "Labels": {"ignored": "yes"}, "ExposedPorts": {"80/tcp": {}},
    });
    let image = layout.image(vec![], run);
    layout.index(std::slice::from_ref(&image));
    let image_read = oci::open(layout.path(), &Limits::default()).unwrap();
    let config = &image_read.config;
    assert_eq!(config.entrypoint, ["/app", "--x"]);
    assert!(config.cmd.is_empty());
    assert_eq!(config.env, ["PATH=/bin", "EMPTY="]);
    assert_eq!((config.working_dir.as_str(), config.user.as_str()), ("/srv", "app:grp"));
    assert_eq!((config.os.as_str(), config.architecture.as_str()), ("linux", "amd64"));
    assert_eq!(format!("sha256:{}", image_read.digest), image["digest"].as_str().unwrap());
    let nothing =
        json!({"architecture": "amd64", "os": "linux", "config": null, "rootfs": {"diff_ids": null}});
    let config = layout.blob(CONFIG, nothing.to_string().as_bytes());
    layout.index(&[layout.manifest(&config, &[])]);
    let image = oci::open(layout.path(), &Limits::default()).unwrap();
    assert!(image.layers.is_empty() && image.config.user.is_empty());
    assert!(tree_of(layout.path(), &Limits::default()).unwrap().is_empty());
}

#[test]
fn every_compression_gives_the_same_tree() {
    let archive = tar(&[("file", "content"), ("more", &"x".repeat(700_000))]);
    let half = archive.len() / 2;
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
    let forms = [
        (archive.clone(), LAYER.to_owned()),
        (archive.clone(), "application/vnd.docker.image.rootfs.diff.tar".to_owned()),
        (gzip(&archive), format!("{LAYER}+gzip")),
        (gzip(&archive), "application/vnd.docker.image.rootfs.diff.tar.gzip".to_owned()),
        // Two gzip members, as parallel compressors write.
        ([gzip(&archive[..half]), gzip(&archive[half..])].concat(), format!("{LAYER}+gzip")),
        (zstd(&archive), format!("{LAYER}+zstd")),
        // Frames, with others between them that are to be skipped: `zstd:chunked`.
        (
            [skippable.clone(), zstd(&archive[..half]), skippable.clone(), zstd(&archive[half..]), skippable]
                .concat(),
            "application/vnd.docker.image.rootfs.diff.tar.zstd".to_owned(),
        ),
    ];
    for (stored, media_type) in forms {
        let layout = Layout::new();
        let layer = layout.layer(&archive, &stored, &media_type);
        layout.index(&[layout.image(vec![layer], json!({}))]);
        let tree = tree_of(layout.path(), &Limits::default()).unwrap();
        assert_eq!(paths(&tree), ["file", "more"], "{media_type}");
        assert_eq!(tree.total_size(), 700_007);
    }
}

/// In a folder and in an archive: nothing is copied, so a change of the image shows in the tree.
#[test]
fn a_plain_layer_is_read_where_it_lies() {
    let layout = Layout::new();
    let archive = tar(&[("a", "1"), ("file", "content")]);
    let layer = layout.layer(&archive, &archive, LAYER);
    let blob = layout.blob_path(&layer.0);
    layout.index(&[layout.image(vec![layer], json!({}))]);
    for (image, file) in [(layout.archive(), layout.archive()), (layout.path().to_owned(), blob)] {
        let tree = tree_of(&image, &Limits::default()).unwrap();
        let bytes = std::fs::read(&file).unwrap();
        let at = bytes.windows(7).position(|seven| seven == b"content").unwrap();
        std::fs::File::options()
            .write(true)
            .open(&file)
            .unwrap()
            .write_all_at(b"CHANGED", at as u64)
            .unwrap();
        assert_eq!(tree.read("file", 9).unwrap().as_deref(), Some(&b"CHANGED"[..]));
        assert_eq!(tree.read("a", 9).unwrap().as_deref(), Some(&b"1"[..]));
        std::fs::write(&file, b"").unwrap();
        let gone = tree.read("a", 9).unwrap_err();
        assert!(matches!(gone, RootfsError::Read { source: EntryError::Content(_), .. }), "{gone}");
    }
}

/// Content is read after its digest was compared, so whoever writes in between must be noticed.
#[test]
fn an_image_that_changes_while_it_is_read_is_refused() {
    let layout = Layout::new();
    let archive = tar(&[("file", "content")]);
    let layer = layout.layer(&archive, &archive, LAYER);
    let blob = layout.blob_path(&layer.0);
    layout.index(&[layout.image(vec![layer], json!({}))]);
    for (image, file) in [(layout.archive(), layout.archive()), (layout.path().to_owned(), blob)] {
        let tree = tree_of(&image, &Limits::default()).unwrap();
        assert!(tree.write_cpio("rootfs", &[], Vec::new()).is_ok());
        let file = std::fs::File::options().write(true).open(&file).unwrap();
        let modified = file.metadata().unwrap().modified().unwrap();
        file.write_all_at(b"X", 512).unwrap();
        // With the old time put back: that the file was touched is still seen.
        file.set_modified(modified).unwrap();
        let written = tree.write_cpio("rootfs", &[], Vec::new());
        assert!(matches!(written, Err(RootfsError::Changed)));
    }
}

#[test]
fn linux_amd64_is_taken_from_several_platforms() {
    let layout = Layout::new();
    let mut wanted =
        layout.image(vec![layout.layer(&tar(&[("x", "")]), &tar(&[("x", "")]), LAYER)], json!({}));
    wanted["platform"] = json!({"os": "linux", "architecture": "amd64"});
    let mut arm = layout.image(vec![], json!({}));
    arm["platform"] = json!({"os": "linux", "architecture": "arm64", "variant": "v8"});
    let mut provenance = layout.image(vec![], json!({"User": "other"}));
    provenance["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    provenance["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
    let inner = json!({"schemaVersion": 2, "manifests": [arm, provenance, wanted]});
    let inner = layout.blob(INDEX, inner.to_string().as_bytes());
    layout.index(std::slice::from_ref(&inner));
    assert_eq!(paths(&tree_of(layout.path(), &Limits::default()).unwrap()), ["x"]);
    // The same image under two names is one image.
    let mut tagged = inner.clone();
    tagged["annotations"] = json!({"org.opencontainers.image.ref.name": "latest"});
    layout.index(&[inner, tagged]);
    assert_eq!(oci::open(layout.path(), &Limits::default()).unwrap().layers.len(), 1);
}

/// An archive as `docker save` wrote it before it knew OCI layouts: a layer stored once and linked to.
#[test]
fn old_docker_archives_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("saved.tar");
    let layer = tar(&[("a", "1")]);
    let second = gzip(&layer);
    let diff_id = format!("sha256:{}", Sha256Digest::of(&layer));
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["/a"]},
        "rootfs": {"type": "layers", "diff_ids": [diff_id, diff_id, diff_id]},
    })
    .to_string();
    let config_name = format!("{}.json", Sha256Digest::of(config.as_bytes()));
    let manifest = json!([{
        "Config": config_name, "RepoTags": ["x:latest"], "Layers": ["1/layer.tar", "2/layer.tar", "3/layer.tar"]
    }]);
    let mut builder = tar::Builder::new(std::fs::File::create(&path).unwrap());
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, bytes).unwrap();
    };
    add(&config_name, config.as_bytes());
    add("1/layer.tar", &layer);
    add("3/layer.tar", &second);
    add("manifest.json", manifest.to_string().as_bytes());
    let mut link = tar::Header::new_gnu();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_size(0);
    builder.append_link(&mut link, "2/layer.tar", "../1/layer.tar").unwrap();
    builder.into_inner().unwrap();
    let image = oci::open(&path, &Limits::default()).unwrap();
    assert_eq!(image.digest, image.config_digest);
    assert_eq!(image.config.cmd, ["/a"]);
    assert_eq!(paths(&tree_of(&path, &Limits::default()).unwrap()), ["a"]);
}
