# What the commands of a table's line may use. Each line makes its image at $image, below the folder $work.
set -eu
umask 022
# vfs: a mounted image is a folder, with nothing to unmount.
storage="--storage-driver vfs --root $work/storage --runroot $work/run"
buildah="buildah $storage" podman="podman $storage"
image=$work/image

# A layer by buildah, which commits what a folder has become: FROM TO COMMANDS.
committed() {
    container=$($buildah from --pull-never "$1"); folder=$($buildah mount "$container")
    (cd "$folder"; eval "$3")
    $buildah umount "$container" >/dev/null
    $buildah commit --quiet --format oci --disable-compression=false "$container" "$2" >/dev/null
    $buildah rm "$container" >/dev/null
}

# The image `three` of buildah, of the three layers below.
three_layers() {
    committed scratch one kinds; committed one two changes; committed two three back
}

# An image without layers, by umoci.
empty() {
    [ -d "$image" ] || { umoci init --layout "$image"; umoci new --image "$image:it"; }
}

# A layer by umoci, which compares a folder with what it was: COMMANDS.
repacked() {
    empty; rm -rf "$work/bundle"; umoci unpack --image "$image:it" "$work/bundle"
    (cd "$work/bundle/rootfs"; eval "$1")
    umoci repack --image "$image:it" "$work/bundle"
}

# A layer by GNU tar, of a new folder: OPTIONS COMMANDS.
archived() {
    empty; rm -rf "$work/folder"; mkdir "$work/folder"
    (cd "$work/folder"; eval "$2"; tar $1 -cf "$work/layer.tar" .)
    umoci raw add-layer --image "$image:it" "$work/layer.tar"
}

# The image `it` of docker or podman, from a Containerfile that needs no other: three layers with instructions between.
context() {
    mkdir "$work/context" "$work/kinds"
    # The code that podman and buildah have for ADD cannot unpack a second name of a link to nowhere.
    (cd "$work/kinds"; kinds; rm dangling-link; tar --xattrs --xattrs-include='*' -cf "$work/context/kinds.tar" .)
    cp "$(command -v busybox)" "$work/context"; declare -f long changes back >"$work/context/words"
    cat >"$work/context/Containerfile" <<'END'
FROM scratch
ADD kinds.tar /
COPY busybox words /bin/
RUN ["/bin/busybox", "sh", "-euc", ". /bin/words; changes"]
RUN ["/bin/busybox", "sh", "-euc", ". /bin/words; back"]
END
}

# By BuildKit: EXPORTER.
buildkit() {
    context; daemon
    docker buildx build --quiet --provenance=false --network none --output "$1" -f "$work/context/Containerfile" "$work/context"
}

# By podman: FORM.
podman_builds() {
    context
    $podman build --quiet --isolation chroot --layers --tag it "$work/context"
    $podman save --quiet --format "$1" --output "$image" it
}

# A docker daemon for the rest of the script. The store of containerd is the one that exports every form.
daemon() {
    programs=$(../../tools/docker-engine); export PATH="$programs/usr/sbin:$programs/usr/bin:$PATH"
    home=$work/docker; mkdir -p "$home"; export DOCKER_CONFIG=$home DOCKER_HOST=unix://$home/socket
    echo "{\"cliPluginsExtraDirs\": [\"$programs/usr/libexec/docker/cli-plugins\"]}" >"$home/config.json"
    echo '{"features": {"containerd-snapshotter": true}}' >"$home/daemon.json"
    mkfifo "$home/says"
    dockerd --iptables=false --ip6tables=false --bridge=none --config-file "$home/daemon.json" --host "$DOCKER_HOST" \
        --data-root "$home/data" --exec-root "$home/exec" --pidfile "$home/pid" 2>"$home/says" >&2 &
    dockerd=$!; trap 'kill $dockerd; wait $dockerd || :' EXIT
    exec 7<"$home/says"; rm "$home/says"
    while read -r line <&7; do
        case $line in *"API listen on"*) break ;; *level=fatal* | "failed "*) echo "$line" >&2 ;; esac
    done
    # A full pipe would stop it.
    cat <&7 >/dev/null 2>&1 &
}

# A name of so many bytes.
long() { printf "%0$1d" 7; }

# One of everything that an archive can say.
kinds() {
    mkdir -p usr/bin usr/lib etc d/sub opaque/in deep/a/b/c "sp ace" other empty-dir becomes-link
    ln -s usr/lib lib; ln -s /absolute/nowhere dangling; ln -s "$(printf 'caf\351')" raw; ln -s d swapped
    echo libc >usr/lib/libc.so; echo root:x:0:0::/: >etc/passwd; : >empty; echo f >becomes-dir; echo o >other/file
    echo 1 >opaque/in/old; echo 2 >d/sub/gone; echo 4 >d/in; echo 3 >deep/a/b/c/file; echo x >"sp ace/$(printf 'caf\351\n')"
    mkdir -p $(long 120)/$(long 90); echo l >$(long 120)/$(long 90)/$(long 200); ln -s $(long 120)/$(long 90) short
    ln $(long 120)/$(long 90)/$(long 200) long
    echo suid >usr/bin/su; chmod 4755 usr/bin/su; ln usr/bin/su usr/bin/su-link
    chown 1000:1001 d; chmod 1777 d; mkdir sgid; chown 0:50 sgid; chmod 2775 sgid
    echo w >sgid/w; chown 70000:3000000 sgid/w; chmod 6711 sgid/w
    mkfifo d/fifo; mknod d/null c 1 3; mknod d/disk b 8 1; mknod d/minor c 254 70000
    ln d/fifo d/fifo-link; ln d/null d/null-link; ln dangling dangling-link
    echo same >first; ln first second; ln first d/third; truncate -s 1M sparse; echo end >>sparse
    echo cap >cap; setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 cap
    setfattr -n user.note -v text cap; setfattr -n user.note -v text other
}

# Everything changes: gone, another kind, another link to the same, other attributes.
changes() {
    rm -r d/sub opaque deep/a/b swapped other becomes-dir becomes-link first cap $(long 120)/$(long 90)/$(long 200)
    mkdir opaque becomes-dir swapped; echo new >opaque/new; echo y >becomes-dir/in; echo in >swapped/in
    ln -s d becomes-link; ln -s swapped other; ln usr/lib/libc.so lib/hard; ln second fourth; echo new >cap
    chmod 600 empty; chown 5:6 etc/passwd; chmod 700 sgid; chown 7:8 usr/bin/su; chmod 4711 usr/bin/su
}

# And back, or half of the way.
back() {
    rm -r swapped other becomes-dir becomes-link d/fifo
    ln -s d swapped; mkdir other becomes-link; echo back >other/back; echo file >becomes-dir; echo file >d/fifo
    echo again >first; echo more >>fourth; rm usr/lib/libc.so; mkdir usr/lib/libc.so
}

# What other programs make of the image, at $folder. buildah is told its form.
umoci_unpacks() {
    rm -rf "$work/bundle" "$work/tagged"; cp -r "$image" "$work/tagged"
    # It wants a tag where BuildKit writes a name.
    sed -i 's#docker.io/library/it:latest#it#' "$work/tagged/index.json"
    umoci unpack --image "$work/tagged:it" "$work/bundle"; folder=$work/bundle/rootfs
}
tar_unpacks() {
    folder=$work/unpacked; mkdir "$folder"
    tar --numeric-owner --same-owner -p --xattrs --xattrs-include='*' -xf "$work/layer.tar" -C "$folder"
}
buildah_unpacks() {
    found "$1"; buildah="$buildah --root $work/fresh --runroot $work/fresh-run"
    id=$($buildah pull --quiet "$from"); container=$($buildah from --pull-never "$id")
    folder=$($buildah mount "$container")
}
podman_unpacks() {
    found "$1"; podman="$podman --root $work/fresh --runroot $work/fresh-run"
    id=$($podman pull --quiet "$from"); folder=$($podman image mount "$id")
}
docker_unpacks() {
    daemon; found "$1"; folder=$work/exported; mkdir "$folder"
    id=$(docker load --quiet --input "${from#*:}")
    container=$(docker create "${id#Loaded image*: }" none)
    docker export "$container" | tar --numeric-owner --same-owner -p --xattrs --xattrs-include='*' -xf - -C "$folder"
}
# The image as buildah and podman call it.
found() {
    case $1 in
        # They take no folder whose path has upper-case letters.
        oci) tar -cf "$work/layout.tar" -C "$image" .; from=oci-archive:$work/layout.tar ;;
        oci-archive) from=oci-archive:$image ;;
        *) from=$1:$image ;;
    esac
}
