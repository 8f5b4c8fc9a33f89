//! Images that other programs made, compared path by path with what other programs unpack from them.
//!
//! A new image is a line of [`IMAGES`]. Needs root, as unpacking devices and owners does.

mod describe;

use crate::tree_of;
use caution_rootfs::Limits;
use describe::{Listing, measured, unpacked};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// An image, who makes it and who unpacks it.
struct Image {
    name: &'static str,
    /// Commands that leave the image at `$image`, with the words of `tools/prelude.sh`.
    made: &'static str,
    /// Its form, as buildah calls it.
    form: &'static str,
    unpacked_by: &'static [Unpacker],
    /// Where we differ from an unpacker; `specs/rootfs.md` §7 says why.
    differ: &'static [(Unpacker, &'static str)],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unpacker {
    Buildah,
    Docker,
    Podman,
    /// GNU tar, where the image has one layer.
    Tar,
    Umoci,
}
use Unpacker::{Buildah, Docker, Podman, Tar, Umoci};

const IMAGES: &[Image] = &[
    Image {
        name: "buildah: every kind, changed and changed back",
        made: "three_layers; $buildah push --quiet three oci:$image:it",
        form: "oci",
        unpacked_by: &[Umoci, Buildah],
        differ: &[(Buildah, ".")],
    },
    Image {
        name: "umoci: every kind, changed and changed back",
        made: "repacked kinds; repacked changes; repacked back",
        form: "oci",
        unpacked_by: &[Umoci],
        differ: &[],
    },
    Image {
        name: "umoci: every kind, some hidden",
        made: "repacked kinds; repacked 'rm -r d opaque/in becomes-dir; mkdir d; chmod 711 sgid; rm -r usr/bin; echo >d/in'",
        form: "oci",
        unpacked_by: &[Umoci, Buildah],
        differ: &[],
    },
    Image {
        name: "umoci: folders put in, made opaque and hidden",
        made: "repacked kinds; mkdir $work/new; echo n >$work/new/file; mknod $work/new/null c 1 3
               umoci insert --image $image:it $work/new /opaque
               umoci insert --image $image:it --opaque $work/new /d
               umoci insert --image $image:it --whiteout /usr/bin/su
               umoci insert --image $image:it --whiteout /deep
               umoci insert --image $image:it $work/new/file /deep/a/again",
        form: "oci",
        unpacked_by: &[Umoci, Buildah],
        differ: &[],
    },
    Image {
        name: "GNU tar: its own headers and long names, a member through a link",
        made: "archived --format=gnu kinds; archived --format=gnu 'mkdir -p swapped lib; echo t >swapped/in'",
        form: "oci",
        unpacked_by: &[Umoci, Buildah],
        differ: &[],
    },
    Image {
        name: "GNU tar: its own headers and holes",
        made: "archived '--format=gnu --sparse' kinds",
        form: "oci",
        unpacked_by: &[Tar],
        differ: &[],
    },
    Image {
        name: "GNU tar: pax headers, attributes and holes",
        made: "archived '--format=posix --sparse --xattrs --xattrs-include=*' 'kinds; chown 3:4 .; chmod 1771 .'",
        form: "oci",
        unpacked_by: &[Umoci, Buildah, Tar],
        differ: &[],
    },
    Image {
        name: "GNU tar: the oldest headers",
        made: "archived --format=v7 'mkdir d; echo x >d/f; ln d/f d/g; ln -s g d/h; chmod 4711 d/f; chown 5:6 d'",
        form: "oci",
        unpacked_by: &[Umoci, Buildah, Tar],
        differ: &[],
    },
    Image {
        name: "GNU tar: numbers too big for octal, a time before 1970",
        made: "archived '--format=gnu --owner=:3000000 --group=:2097152 --mtime=@-5' 'echo x >owned; mkdir f; echo >f/g'",
        form: "oci",
        unpacked_by: &[Umoci, Buildah, Tar],
        differ: &[],
    },
    Image {
        name: "skopeo: layers compressed with zstd",
        made: "three_layers; $buildah push --quiet three oci:$work/gzip:it
               skopeo copy --quiet --dest-compress-format zstd --dest-compress oci:$work/gzip:it oci:$image:it",
        form: "oci",
        unpacked_by: &[Buildah],
        differ: &[(Buildah, ".")],
    },
    Image {
        name: "skopeo: an OCI archive",
        made: "three_layers; $buildah push --quiet three oci:$work/gzip:it
               skopeo copy --quiet oci:$work/gzip:it oci-archive:$image:it",
        form: "oci-archive",
        unpacked_by: &[Buildah],
        differ: &[(Buildah, ".")],
    },
    Image {
        name: "skopeo: a docker archive of umoci's layers",
        made: "repacked kinds; mv $image $work/oci
               skopeo copy --quiet oci:$work/oci:it docker-archive:$image:it:latest",
        form: "docker-archive",
        unpacked_by: &[Buildah],
        differ: &[],
    },
    Image {
        name: "podman: a docker archive of several layers",
        made: "podman_builds docker-archive",
        form: "docker-archive",
        unpacked_by: &[Podman, Buildah],
        differ: PODMAN_BUILT,
    },
    Image {
        name: "podman: an OCI archive",
        made: "podman_builds oci-archive",
        form: "oci-archive",
        unpacked_by: &[Podman, Buildah],
        differ: PODMAN_BUILT,
    },
    Image {
        name: "BuildKit: an OCI folder, gzip",
        made: "buildkit type=oci,tar=false,name=it,dest=$image",
        form: "oci",
        unpacked_by: &[Docker, Umoci, Buildah],
        differ: EXPORTED,
    },
    Image {
        name: "BuildKit: an OCI archive, zstd",
        made: "buildkit type=oci,compression=zstd,force-compression=true,name=it,dest=$image",
        form: "oci-archive",
        unpacked_by: &[Docker, Podman],
        differ: EXPORTED,
    },
    Image {
        name: "BuildKit: an OCI archive, uncompressed",
        made: "buildkit type=oci,compression=uncompressed,force-compression=true,name=it,dest=$image",
        form: "oci-archive",
        unpacked_by: &[Docker, Buildah],
        differ: EXPORTED,
    },
    Image {
        name: "BuildKit: a docker archive",
        made: "buildkit type=docker,name=it,dest=$image",
        form: "docker-archive",
        unpacked_by: &[Docker, Buildah],
        differ: EXPORTED,
    },
];

/// The root that no layer names, and what a build of podman leaves behind where it mounts files of its own.
const PODMAN_BUILT: &[(Unpacker, &str)] = &[
    (Podman, "."),
    (Podman, "etc/hostname"),
    (Podman, "etc/hosts"),
    (Podman, "etc/resolv.conf"),
    (Buildah, "."),
    (Buildah, "etc/hostname"),
    (Buildah, "etc/hosts"),
    (Buildah, "etc/resolv.conf"),
];

/// The same root, and what docker puts into every container that it exports.
const EXPORTED: &[(Unpacker, &str)] = &[
    (Podman, "."),
    (Buildah, "."),
    (Docker, ".dockerenv"),
    (Docker, "dev/console"),
    (Docker, "dev/pts"),
    (Docker, "dev/shm"),
    (Docker, "etc/hostname"),
    (Docker, "etc/hosts"),
    (Docker, "etc/mtab"),
    (Docker, "etc/resolv.conf"),
];

#[test]
fn images_of_other_programs_give_what_engines_unpack() {
    if !has_tools() {
        return;
    }
    let wrong: Vec<String> = IMAGES
        .iter()
        .flat_map(|image| {
            check(image)
                .unwrap_or_else(|error| vec![error])
                .into_iter()
                .map(|what| format!("{}: {what}", image.name))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong with an image, or why nothing can be said.
fn check(image: &Image) -> Result<Vec<String>, String> {
    let work = tempfile::tempdir().map_err(|error| error.to_string())?;
    words(image.made, work.path())?;
    let tree = tree_of(&work.path().join("image"), &Limits::default())
        .map_err(|error| format!("we refuse it: {error:?}"))?;
    let ours = measured(&tree);
    let mut wrong = Vec::new();
    for unpacker in image.unpacked_by {
        let command = match unpacker {
            Buildah => format!("buildah_unpacks {}", image.form),
            Docker => format!("docker_unpacks {}", image.form),
            Podman => format!("podman_unpacks {}", image.form),
            Umoci => "umoci_unpacks".into(),
            Tar => "tar_unpacks".into(),
        };
        match words(&format!("{command} >&2; echo $folder"), work.path()) {
            Ok(folder) => {
                let theirs = unpacked(Path::new(folder.trim_end()));
                let different =
                    differences(&ours, &theirs, &|path| image.differ.contains(&(*unpacker, path)));
                wrong.extend(different.into_iter().map(|what| format!("{unpacker:?}: {what}")));
            }
            Err(error) => wrong.push(format!("{unpacker:?} refuses it: {error}")),
        }
    }
    Ok(wrong)
}

/// What differs without being explained, or is explained without differing.
fn differences(ours: &Listing, theirs: &Listing, is_explained: &dyn Fn(&str) -> bool) -> Vec<String> {
    let paths: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    paths
        .into_iter()
        .filter(|path| (ours.get(*path) != theirs.get(*path)) != is_explained(path))
        .map(|path| format!("{path}\n  ours   {:?}\n  theirs {:?}", ours.get(path), theirs.get(path)))
        .collect()
}

/// Runs commands with the words of the prelude and gives what they print.
fn words(commands: &str, work: &Path) -> Result<String, String> {
    shell(&format!("work=$1\n{}\n{commands}", include_str!("tools/prelude.sh")), work)
}

fn shell(script: &str, argument: &Path) -> Result<String, String> {
    let output =
        Command::new("bash").args(["-euc", script, "bash"]).arg(argument).output().expect("bash runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(String::from_utf8(output.stdout).expect("text")) } else { Err(said) }
}

/// Whether this can be tried: not without root. Missing programs are a failure.
fn has_tools() -> bool {
    let missing: Vec<&str> = [
        ("buildah", "buildah"),
        ("umoci", "umoci"),
        ("skopeo", "skopeo"),
        ("podman", "podman"),
        ("busybox", "busybox-static"),
        ("getfattr", "attr"),
    ]
    .into_iter()
    .filter(|(program, _)| Command::new(program).arg("--version").output().is_err())
    .map(|(_, package)| package)
    .collect();
    assert!(missing.is_empty(), "images of other programs need them: apt-get install {}", missing.join(" "));
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    if !is_root {
        eprintln!("NOT TESTED: only root can unpack owners and devices");
    }
    is_root
}
