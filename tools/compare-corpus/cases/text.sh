# What scripts of a build write into texts.

times='AT="2026-11-20 08:01:59"'
later='AT="2026-11-21 17:23:11"'

pair text-date app/build-info.txt embedded-time "$times" "$later" \
    'echo "Built on $(at "$AT" date)" >app/build-info.txt'
pair text-date-iso app/VERSION embedded-time "$times" "$later" \
    'echo "1.4.2 $(at "$AT" date +%Y-%m-%dT%H:%M:%SZ)" >app/VERSION'
pair text-epoch app/build.properties embedded-time "$times" "$later" \
    'printf "name=app\nbuild.timestamp=%s\n" "$(at "$AT" date +%s)" >app/build.properties'
pair text-dev-version app/version.txt embedded-time "$times" "$later" \
    'echo "app-1.0.dev$(at "$AT" date +%Y%m%d%H%M%S)" >app/version.txt'
pair text-banner srv/bundle.min.js embedded-time "$times" "$later" \
    'node -e "const t = new Date(process.argv[1] + \"Z\").toISOString(); process.stdout.write(\"/*! app 1.0.0, built \" + t + \" */\n(()=>{console.log(1)})();\n\")" "$AT" >srv/bundle.min.js'
pair text-man usr/share/man/man1/app.1 embedded-time "$times" "$later" \
    'printf "=head1 NAME\n\napp - an app\n" >app.pod; touch -d "$AT" app.pod; pod2man --release=1.0 app.pod usr/share/man/man1/app.1'
pair text-log-dpkg var/log/alternatives.log embedded-time "$times" "$later" \
    'mkdir -p alt admin bin; : >bin/x; chmod +x bin/x; : >var/log/alternatives.log
     at "$AT" update-alternatives --altdir "$PWD/alt" --admindir "$PWD/admin" --log "$PWD/var/log/alternatives.log" --install "$PWD/bin/y" y "$PWD/bin/x" 10'
pair text-python-header app/generated.sql embedded-time "$times" "$later" \
    'at "$AT" /usr/bin/python3 -c "import datetime; print(\"-- dumped\", datetime.datetime.now()); print(\"create table t(a int);\")" >app/generated.sql'
pair text-git-style srv/index.html embedded-time "$times" "$later" \
    'echo "<html><body><!-- Generated $(at "$AT" date -R) --><p>hello</p></body></html>" >srv/index.html'

pair text-hostname app/env.txt host-name 'H=vm-7f3a' 'H=builder02' \
    'unshare --uts sh -c "hostname $H; echo HOSTNAME=\$(hostname)" >app/env.txt'
pair text-uname app/config.log host-name 'H=vm-7f3a' 'H=builder02' \
    'unshare --uts sh -c "hostname $H; echo uname -n = \$(uname -n); echo uname -s = \$(uname -s)" >app/config.log'
pair text-hostname-file etc/hostname host-name 'H=vm-7f3a' 'H=builder02' \
    'unshare --uts sh -c "hostname $H; hostname" >etc/hostname'
pair text-built-by META-INF/MANIFEST.MF user-name 'U=nobody' 'U=games' \
    'printf "Manifest-Version: 1.0\nBuilt-By: %s\nMain-Class: App\n" "$(setpriv --reuid $U --clear-groups id -un)" >META-INF/MANIFEST.MF'
pair text-id app/build.txt user-name 'U=nobody' 'U=games' \
    'setpriv --reuid $U --regid $(id -g $U) --clear-groups id >app/build.txt'
pair text-built-by-at app/about.txt 'user-name host-name' 'U=nobody; H=vm-7f3a' 'U=games; H=builder02' \
    'unshare --uts sh -c "hostname $H; echo built by \$(setpriv --reuid $U --clear-groups id -un)@\$(hostname)" >app/about.txt'

pair locale-sort app/files.txt locale 'L=C' 'L=en_US.UTF-8' \
    'printf "%s\n" README Makefile alpha.c Beta.c gamma.c Zeta.c zoo.c | LC_ALL=$L sort >app/files.txt'
pair locale-ls app/manifest.txt locale 'L=C' 'L=de_DE.UTF-8' \
    'mkdir d; (cd d; touch Apfel birne Citrone dattel Esche; LC_ALL=$L ls) >app/manifest.txt'
pair locale-number app/report.txt locale 'L=C' 'L=de_DE.UTF-8' \
    'LC_ALL=$L /usr/bin/python3 -c "import locale; locale.setlocale(locale.LC_ALL, \"\"); print(locale.format_string(\"%.2f MB in %d files\", (3.141, 12)))" >app/report.txt'
pair locale-date app/build-info.txt locale 'L=C' 'L=de_DE.UTF-8' \
    'echo "Built $(LC_ALL=$L at "2026-11-20 08:01:59" date +"%a %d %b %Y %H:%M:%S %Z")" >app/build-info.txt'
pair locale-half-days app/build-info.txt locale 'L=C' 'L=en_US.UTF-8' \
    'echo "Built $(LC_ALL=$L at "2026-11-20 18:01:59" date)" >app/build-info.txt'
pair locale-environment app/env.txt locale 'L=C.UTF-8' 'L=de_DE.UTF-8' \
    'env -i PATH=/usr/bin HOME=/root LANG=$L LC_ALL=$L env >app/env.txt'

pair zone-named app/build-info.txt time-zone 'Z=UTC' 'Z=Europe/Berlin' \
    'echo "Built $(TZ=$Z date -d @1795161719)" >app/build-info.txt'
pair zone-offset app/build-info.txt time-zone 'Z=UTC' 'Z=America/New_York' \
    'echo "Built $(TZ=$Z date -d @1795161719 --iso-8601=seconds)" >app/build-info.txt'
pair zone-local app/build-info.txt time-zone 'Z=UTC' 'Z=Asia/Kolkata' \
    'echo "Built $(TZ=$Z date -d @1795161719 "+%F %T")" >app/build-info.txt'
pair zone-file etc/timezone time-zone 'Z=Etc/UTC' 'Z=Europe/Berlin' 'echo $Z >etc/timezone'

# tmpfs lists folders in the reverse order of creation.
pair order-find app/files.txt file-order 'N="one.txt two.txt three.txt four.txt"' 'N="three.txt one.txt four.txt two.txt"' \
    'd=$(mktemp -d -p /dev/shm); (cd "$d"; for n in $N; do : >$n; done; find . -type f) >app/files.txt; rm -r "$d"'
pair order-digests app/SHA256SUMS file-order 'N="one.js two.js three.js"' 'N="two.js three.js one.js"' \
    'd=$(mktemp -d -p /dev/shm); (cd "$d"; for n in $N; do echo $n >$n; done; find . -type f -exec sha256sum {} +) >app/SHA256SUMS; rm -r "$d"'
pair order-set app/names.txt file-order 'S=1' 'S=2' \
    'PYTHONHASHSEED=$S /usr/bin/python3 -c "print({\"alpha\", \"beta\", \"gamma\", \"delta\"})" >app/names.txt'
pair order-json app/config.json file-order 'S=1' 'S=2' \
    'PYTHONHASHSEED=$S /usr/bin/python3 -c "import json; print(json.dumps({k: len(k) for k in {\"alpha\", \"beta\", \"gamma\", \"delta\"}}))" >app/config.json'
pair order-json-array app/names.json file-order 'S=1' 'S=2' \
    'PYTHONHASHSEED=$S /usr/bin/python3 -c "import json; print(json.dumps({\"names\": list({\"alpha\", \"beta\", \"gamma\", \"delta\"})}))" >app/names.json'

pair random-uuid app/instance.txt randomness 'X=1' 'X=2' \
    'echo "id $(cat /proc/sys/kernel/random/uuid)" >app/instance.txt'
pair random-secret app/secret.txt randomness 'X=1' 'X=2' \
    'echo "SECRET_KEY=$(openssl rand -hex 32)" >app/secret.txt'
pair random-mktemp app/build.txt randomness 'X=1' 'X=2' \
    'd=$(mktemp -d); echo "unpacking to $(basename "$d")" >app/build.txt; rmdir "$d"'
pair random-json app/session.json randomness 'X=1' 'X=2' \
    'node -e "process.stdout.write(JSON.stringify({name: \"app\", buildId: crypto.randomUUID()}))" >app/session.json'

pair jobs-make app/build.txt parallelism 'J=1' 'J=4' \
    'printf "all: a b c\n%%:\n\t@sleep \$(if \$(filter a,\$@),0.6,\$(if \$(filter b,\$@),0.3,0))\n\t@echo \"  CC      \$@.o\"\n" >Makefile
     make -j$J >app/build.txt'
pair jobs-flag app/flags.txt parallelism 'J=2' 'J=16' 'echo "MAKE: make -j$J all" >app/flags.txt'

pair path-environment app/env.txt build-path 'D=one' 'D=two' \
    'mkdir -p /tmp/compare-corpus/$D; (cd /tmp/compare-corpus/$D; env -i PATH=/usr/bin HOME=/root bash -c "env | grep -v ^_=") >app/env.txt'
pair path-depfile app/main.d build-path 'D=/tmp/compare-corpus/one' 'D=/tmp/compare-corpus/two/deep' \
    'mkdir -p $D; echo "int x;" >$D/main.c; gcc -MD -MF app/main.d -c $D/main.c -o $D/main.o'
pair path-direct-url app/direct_url.json build-path 'D=/tmp/compare-corpus/one' 'D=/tmp/compare-corpus/two' \
    'mkdir -p $D; /usr/bin/python3 -c "import json, pathlib, sys; print(json.dumps({\"dir_info\": {}, \"url\": pathlib.Path(sys.argv[1]).as_uri() + \"/pyproject.toml\"}))" $D >app/direct_url.json'

pair two-date-host app/build-info.txt 'embedded-time host-name' "$times; H=vm-7f3a" "$later; H=builder02" \
    'unshare --uts bash -c "hostname $H; echo build host: \$(hostname)" >app/build-info.txt; echo "date: $(at "$AT" date)" >>app/build-info.txt'
pair two-date-order app/files.txt 'embedded-time file-order' "$times"'; N="one.txt two.txt three.txt"' "$later"'; N="three.txt two.txt one.txt"' \
    'd=$(mktemp -d -p /dev/shm); (echo "# listed on $(at "$AT" date)"; cd "$d"; for n in $N; do : >$n; done; find . -type f) >app/files.txt; rm -r "$d"'
pair two-date-zone app/build-info.txt 'embedded-time time-zone' "$times; Z=UTC" "$later; Z=Europe/Berlin" \
    'echo "Built $(TZ=$Z at "$AT" date)" >app/build-info.txt'
pair three-environment app/env.txt 'build-path host-name locale' 'D=one H=vm-7f3a L=C.UTF-8' 'D=two H=builder02 L=de_DE.UTF-8' \
    'mkdir -p /tmp/compare-corpus/$D; cd /tmp/compare-corpus/$D
     unshare --uts sh -c "hostname $H; env -i PATH=/usr/bin HOME=/root LANG=$L HOSTNAME=\$(hostname) bash -c \"env | grep -v ^_=\"" >'"$work"'/build/app/env.txt'
pair three-report app/build.json 'embedded-time host-name randomness' "$times; H=vm-7f3a" "$later; H=builder02" \
    'unshare --uts sh -c "hostname $H; hostname" >h; t=$(at "$AT" date +%FT%TZ)
     node -e "process.stdout.write(JSON.stringify({name: \"app\", builtAt: process.argv[1], hostname: process.argv[2], runId: crypto.randomUUID()}, null, 1))" "$t" "$(cat h)" >app/build.json'
