# Archives and compressed files.

times='AT="2026-11-20 08:01:59"'
later='AT="2026-11-21 17:23:11"'
files='mkdir t; for n in a b c; do seq 40 >t/$n.txt; done; touch -d @1000000000 t/* t;'
tar='tar --format=ustar --owner=0 --group=0 --sort=name'

pair gzip-time app/a.gz embedded-time "$times" "$later" 'seq 100 >a; touch -d "$AT" a; gzip a; cp a.gz app/'
pair gzip-level app/a.gz compression 'L=1' 'L=9' 'seq 2000 | gzip -n -$L >app/a.gz'
pair gzip-program app/a.gz compression 'G=gzip' 'G="pigz -11"' 'seq 2000 | $G -n >app/a.gz'
pair gzip-inside usr/share/doc/app/changelog.gz embedded-time "$times" "$later" \
    '(echo "app (1.0) unstable"; echo " -- A <a@example.org>  $(at "$AT" date -R)") | gzip -9n >usr/share/doc/app/changelog.gz'
pair xz-level app/a.xz compression 'L=0' 'L=9e' 'seq 3000 | xz -$L >app/a.xz'
pair zstd-level app/a.zst compression 'L=1' 'L=19' 'seq 3000 | zstd -q -$L >app/a.zst'
pair two-gzip app/a.gz 'embedded-time compression' "$times; L=1" "$later; L=9" 'seq 2000 >a; touch -d "$AT" a; gzip -$L a; cp a.gz app/'

pair tar-time app/a.tar embedded-time "$times" "$later" "$files"' touch -d "$AT" t/b.txt; '"$tar"' -cf app/a.tar t'
pair tar-order app/a.tar file-order 'O="t/a.txt t/b.txt t/c.txt"' 'O="t/c.txt t/a.txt t/b.txt"' "$files"' tar --format=ustar -cf app/a.tar $O'
pair tar-glob app/a.tar locale 'L=C' 'L=en_US.UTF-8' \
    'for n in Makefile README alpha beta Zeta; do echo $n >$n; done; touch -d @1 [MRabZ]*; export LC_ALL=$L; bash -c "tar --format=ustar -cf app/a.tar [A-Zb-z]e[at]a [Rr]* [Aa][a-z]*a [Mm]* ; tar --format=ustar -cf app/a.tar \$(ls | grep -v -e app -e log)"'
pair tar-mode app/a.tar mode 'U=022' 'U=077' "$files"' umask $U; cp t/a.txt t/d.txt; touch -d @1000000000 t/d.txt t; '"$tar"' -cf app/a.tar t'
pair tar-owner app/a.tar owner 'U=0' 'U=1000' "$files"' chown $U t/b.txt; tar --format=ustar --numeric-owner --sort=name -cf app/a.tar t'
pair tar-three app/a.tar 'embedded-time mode owner' "$times; U=022; O=0" "$later; U=077; O=1000" \
    "$files"' umask $U; cp t/a.txt t/d.txt; chown $O t/d.txt; touch -d "$AT" t/d.txt; touch -d @1 t; tar --format=ustar --numeric-owner --sort=name -cf app/a.tar t'
pair tgz-inside app/a.tar.gz host-name 'H=vm-7f3a' 'H=builder02' \
    "$files"' unshare --uts sh -c "hostname $H; echo HOSTNAME=\$(hostname) >t/env"; touch -d @1 t t/*; '"$tar"' -c t | gzip -n >app/a.tar.gz'
pair cpio-time boot/initrd.cpio embedded-time "$times" "$later" "$files"' touch -d "$AT" t/b.txt; (echo t/a.txt; echo t/b.txt) | cpio --quiet --reproducible -o -H newc >boot/initrd.cpio'
pair cpio-owner boot/initrd.cpio owner 'U=0:0' 'U=1000:100' "$files"' (echo t/a.txt; echo t/b.txt) | cpio --quiet --reproducible -R $U -o -H newc >boot/initrd.cpio'

pair zip-time app/a.zip embedded-time "$times" "$later" "$files"' touch -d "$AT" t/b.txt; zip -q -X app/a.zip t/a.txt t/b.txt'
pair zip-zone app/a.zip time-zone 'Z=UTC' 'Z=Asia/Tokyo' "$files"' TZ=$Z zip -q -X app/a.zip t/a.txt t/b.txt'
pair zip-zone-both app/a.zip time-zone 'Z=UTC' 'Z=Europe/Berlin' "$files"' touch -a -d @1000000000 t/*; TZ=$Z zip -q app/a.zip t/a.txt t/b.txt'
pair zip-level app/a.zip compression 'L=1' 'L=9' "$files"' seq 3000 >t/a.txt; touch -d @1000000000 t/a.txt; zip -q -X -$L app/a.zip t/a.txt'
pair zip-order app/a.zip file-order 'O="t/a.txt t/b.txt t/c.txt"' 'O="t/c.txt t/a.txt t/b.txt"' "$files"' zip -q -X app/a.zip $O'
pair zip-mode app/a.zip mode 'U=022' 'U=077' "$files"' umask $U; cp t/a.txt t/d.txt; touch -d @1000000000 t/d.txt; zip -q -X app/a.zip t/a.txt t/d.txt'
pair zip-two app/a.zip 'embedded-time file-order' "$times"'; O="t/a.txt t/b.txt t/c.txt"' "$later"'; O="t/c.txt t/a.txt t/b.txt"' "$files"' touch -d "$AT" t/b.txt; zip -q -X app/a.zip $O'
pair jar-time app/app.jar embedded-time "$times" "$later" \
    'mkdir c; echo "class App { int f(int x) { return x + 1; } }" >App.java; javac --release 17 -d c App.java; touch -d "$AT" c/App.class; jar --create --file app/app.jar --date="${AT/ /T}Z" -C c App.class'
pair jar-manifest app/app.jar user-name 'U=nobody' 'U=games' \
    'mkdir c; : >c/x; touch -d @1000000000 c/x; printf "Built-By: %s\n" "$(setpriv --reuid $U --clear-groups id -un)" >m; jar --create --file app/app.jar --manifest m --date=2020-01-01T00:00:00Z -C c x'

control='mkdir -p d/DEBIAN d/usr/share/app; printf "Package: app\nVersion: 1.0\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: app\n" >d/DEBIAN/control; seq 300 >d/usr/share/app/data;'
pair deb-time app/app.deb embedded-time 'AT=1795161719' 'AT=1795281791' "$control"' SOURCE_DATE_EPOCH=$AT dpkg-deb --root-owner-group -Zgzip --build d app/app.deb'
pair deb-compression app/app.deb compression 'Z=gzip' 'Z=xz' "$control"' SOURCE_DATE_EPOCH=1 dpkg-deb --root-owner-group -Z$Z --build d app/app.deb'
pair deb-inside app/app.deb build-path 'D=/tmp/compare-corpus/one' 'D=/tmp/compare-corpus/two' \
    "$control"' echo "{\"file\":\"$D/src/app.js\"}" >d/usr/share/app/map.json; SOURCE_DATE_EPOCH=1 dpkg-deb --root-owner-group -Zxz --build d app/app.deb'
