# What package managers and system tools leave in an image, and keys.

times='AT="2026-11-20 08:01:59"'
later='AT="2026-11-21 17:23:11"'

pair shadow-day etc/shadow embedded-time "$times" "$later" \
    'printf "root:x:0:0::/:/bin/sh\n" >etc/passwd; printf "root:x:0:\n" >etc/group; printf "root:*:19000:0:99999:7:::\n" >etc/shadow; : >etc/gshadow; : >etc/login.defs
     at "$AT" useradd --prefix "$PWD" -M -u 1000 app'
pair shadow-password etc/shadow none 'S=abcdefgh' 'S=hgfedcba' \
    'printf "app:%s:19000:0:99999:7:::\n" "$(openssl passwd -6 -salt $S secret)" >etc/shadow'
pair machine-id etc/machine-id randomness 'X=1' 'X=2' 'dbus-uuidgen >etc/machine-id'
pair random-seed var/lib/systemd/random-seed randomness 'X=1' 'X=2' 'head -c 64 /dev/urandom >var/lib/systemd/random-seed'
pair ssh-host-key etc/ssh/ssh_host_ed25519_key.pub randomness 'X=1' 'X=2' \
    'ssh-keygen -q -t ed25519 -N "" -C root@build -f etc/ssh/ssh_host_ed25519_key'
pair ssh-host-key-host etc/ssh/ssh_host_ed25519_key.pub 'randomness host-name' 'H=vm-7f3a' 'H=builder02' \
    'unshare --uts sh -c "hostname $H; ssh-keygen -q -t ed25519 -N \"\" -f etc/ssh/ssh_host_ed25519_key"'
pair private-key etc/ssl/private/app.key randomness 'X=1' 'X=2' 'openssl genpkey -quiet -algorithm ed25519 -out etc/ssl/private/app.key 2>/dev/null || openssl genpkey -algorithm ed25519 -out etc/ssl/private/app.key'
request='-x509 -key k -subj /CN=app -days 30'
pair certificate-key etc/ssl/app.crt randomness 'X=1' 'X=2' \
    'openssl ecparam -genkey -name prime256v1 -noout -out k; at "2026-11-20 08:01:59" openssl req '"$request"' -out etc/ssl/app.crt'
pair certificate-date etc/ssl/app.crt embedded-time "$times" "$later" \
    'printf -- "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n" >k
     at "$AT" openssl req '"$request"' -set_serial 7 -out etc/ssl/app.crt'
pair certificate-both etc/ssl/app.crt 'embedded-time randomness' "$times" "$later" \
    'openssl ecparam -genkey -name prime256v1 -noout -out k; at "$AT" openssl req '"$request"' -out etc/ssl/app.crt'
pair certificate-der etc/ssl/app.der 'embedded-time randomness' "$times" "$later" \
    'openssl ecparam -genkey -name prime256v1 -noout -out k; at "$AT" openssl req '"$request"' -outform DER -out etc/ssl/app.der'

dpkg='admin=var/lib/dpkg; mkdir -p $admin/info $admin/updates root; : >$admin/status; : >$admin/available
    deb() { mkdir -p p/DEBIAN p/usr/share/$1; echo $1 >p/usr/share/$1/x
        printf "Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: app\n" $1 $2 >p/DEBIAN/control
        dpkg-deb --root-owner-group --build p $1.deb; rm -r p
        at "${AT:-2026-11-20 08:01:59}" dpkg --admindir=$admin --instdir=root --force-all --log="${LOG:-dpkg.log}" -i $1.deb; };'
pair dpkg-status var/lib/dpkg/status package-version 'V=3.0.11-1~deb12u2' 'V=3.0.13-1~deb12u1' "$dpkg"' deb libssl3 $V; deb app 1.0'
pair dpkg-log var/log/dpkg.log embedded-time "$times" "$later" "$dpkg"' LOG=var/log/dpkg.log; deb app 1.0'
pair dpkg-added var/lib/dpkg/status none 'N=' 'N=2' "$dpkg"' deb app 1.0; [ -z "$N" ] || deb extra 2.0'
pair npm-lock app/node_modules/.package-lock.json package-version 'V=1.2.0' 'V=1.2.1' \
    'mkdir dep; echo "{\"name\":\"dep\",\"version\":\"$V\"}" >dep/package.json; (cd dep; npm pack --silent); mv dep/dep-$V.tgz dep.tgz
     cd app; echo "{\"name\":\"app\",\"version\":\"1.0.0\"}" >package.json; npm install --silent --offline --no-audit --no-fund ../dep.tgz'
pair npm-package app/node_modules/dep/package.json package-version 'V=1.2.0' 'V=1.2.1' \
    'mkdir dep; echo "{\"name\":\"dep\",\"version\":\"$V\"}" >dep/package.json; (cd dep; npm pack --silent); mv dep/dep-$V.tgz dep.tgz
     cd app; echo "{\"name\":\"app\",\"version\":\"1.0.0\"}" >package.json; npm install --silent --offline --no-audit --no-fund ../dep.tgz'
pair cargo-lock app/Cargo.lock package-version 'V=0.3.1' 'V=0.4.0' \
    'mkdir -p dep/src app/src; : >dep/src/lib.rs; : >app/src/lib.rs; printf "[package]\nname = \"dep\"\nversion = \"%s\"\n" $V >dep/Cargo.toml
     printf "[package]\nname = \"app\"\nversion = \"1.0.0\"\n[dependencies]\ndep = { path = \"../dep\" }\n" >app/Cargo.toml; cd app; cargo generate-lockfile --offline --quiet'
pair pip-metadata usr/lib/python3/dist-packages/dep-1.dist-info/METADATA package-version 'V=2.31.0' 'V=2.32.3' \
    '/usr/bin/python3 -c "
import sys
from email.message import Message
m = Message(); m[\"Metadata-Version\"] = \"2.1\"; m[\"Name\"] = \"dep\"; m[\"Version\"] = sys.argv[1]
print(m)" $V >usr/lib/python3/dist-packages/dep-1.dist-info/METADATA'
pair os-release etc/os-release base-image 'V="11 (bullseye)"; N=11' 'V="12 (bookworm)"; N=12' \
    'sed "s/12 (bookworm)/$V/; s/VERSION_ID=.*/VERSION_ID=\"$N\"/" /etc/os-release >etc/os-release'
pair debian-version etc/debian_version base-image 'V=12.8' 'V=12.12' 'echo $V >etc/debian_version'
pair ldconfig var/cache/ldconfig/aux-cache embedded-time "$times" "$later" \
    'mkdir -p usr/lib etc; : >etc/ld.so.conf; echo "int f(void) { return 1; }" >a.c; gcc -shared -nostdlib -Wl,-soname,libapp.so.1 -o usr/lib/libapp.so.1 a.c; sleep 1.1; echo /usr/lib >etc/ld.so.conf; ldconfig -r "$PWD"'
pair fontconfig var/cache/fontconfig/app.cache-7 embedded-time "$times" "$later" \
    'mkdir fonts; cp "$(find /usr/share/fonts -name "*.ttf" | sort | head -1)" fonts/; touch -d "$AT" fonts
     printf "<fontconfig><dir>%s</dir><cachedir>%s</cachedir></fontconfig>" "$PWD/fonts" "$PWD/cache" >fonts.conf
     FONTCONFIG_FILE=$PWD/fonts.conf fc-cache -f; cp cache/*.cache-* var/cache/fontconfig/app.cache-7'
