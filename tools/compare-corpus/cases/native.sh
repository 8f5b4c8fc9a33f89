# What compilers and linkers leave in binaries.

times='AT="2026-11-20 08:01:59"'
later='AT="2026-11-21 17:23:11"'
# Small on purpose: no start files, no libraries.
link='-nostdlib -static -Wl,--build-id=none -Wl,-z,noseparate-code -Wl,-e,main'
paths="D=/tmp/compare-corpus/one"
other="D=/tmp/compare-corpus/elsewhere/two"

pair gcc-date usr/bin/app embedded-time "$times" "$later" \
    'echo "const char *const when = __DATE__ \" \" __TIME__; int main(void) { return when[0]; }" >a.c; at "$AT" gcc -s '"$link"' -o usr/bin/app a.c'
pair gcc-comp-dir usr/lib/app.o build-path "$paths" "$other" \
    'mkdir -p $D; echo "int f(int x) { return x + 1; }" >$D/a.c; (cd $D; gcc -g -c a.c); cp $D/a.o usr/lib/app.o'
pair gcc-file usr/bin/app build-path "$paths" "$other" \
    'mkdir -p $D; echo "const char *where = __FILE__; int main(void) { return where[0]; }" >$D/a.c; gcc -s '"$link"' -o usr/bin/app $D/a.c'
pair gcc-compilers usr/bin/app toolchain 'CC=gcc-11' 'CC=gcc-12' \
    'echo "int main(void) { return 42; }" >a.c; $CC -O2 -s '"$link"' -o usr/bin/app a.c'
pair gcc-or-clang usr/lib/app.o toolchain 'CC=gcc' 'CC=clang' \
    'echo "int f(int x) { return x * 3; }" >a.c; $CC -O2 -c -o usr/lib/app.o a.c'
pair gcc-version-text usr/share/doc/app/BUILDINFO toolchain 'CC=gcc-11' 'CC=gcc-12' \
    '$CC -v 2>&1 | grep "^gcc version" >usr/share/doc/app/BUILDINFO'
pair gcc-build-id usr/bin/app build-id "$paths" "$other" \
    'mkdir -p $D; echo "int main(void) { return 42; }" >$D/a.c; (cd $D; gcc -g -nostdlib -static -Wl,-e,main -Wl,--build-id -Wl,-z,noseparate-code -o app a.c; strip app); cp $D/app usr/bin/app'
pair gcc-build-id-uuid usr/bin/app build-id 'X=1' 'X=2' \
    'echo "int main(void) { return 42; }" >a.c; gcc -s -nostdlib -static -Wl,-e,main -Wl,--build-id=uuid -Wl,-z,noseparate-code -o usr/bin/app a.c'
pair gcc-link-order usr/bin/app file-order 'O="a.o b.o c.o"' 'O="c.o a.o b.o"' \
    'for n in a b c; do echo "int f_$n(int x) { return x + sizeof \"$n\"; }" >$n.c; gcc -O1 -c $n.c; done; echo "int main(void) { return 0; }" >m.c; gcc -c m.c
     gcc '"$link"' -o usr/bin/app m.o $O'
pair gcc-march usr/lib/app.o processor 'M=x86-64-v2' 'M=x86-64-v3' \
    'echo "void f(float *a) { for (int i = 0; i < 64; i++) a[i] *= 2; }" >a.c; gcc -O3 -march=$M -Wa,-mx86-used-note=yes -mneeded -c -o usr/lib/app.o a.c'
pair gcc-switches usr/lib/app.o processor 'M=x86-64' 'M=x86-64-v3' \
    'echo "int f(int x) { return x; }" >a.c; gcc -frecord-gcc-switches -march=$M -c -o usr/lib/app.o a.c'
pair gcc-temporary usr/lib/app.o randomness 'T=/tmp/compare-corpus/t1' 'T=/tmp/compare-corpus/t2' \
    'mkdir -p $T; echo ".text; .globl f; f: ret" >a.S; TMPDIR=/tmp gcc -save-temps=obj -c a.S -o a.o 2>/dev/null; n=$(mktemp -p /tmp ccXXXXXX.o); rm $n; printf ".file \"%s\"\n.text\n.globl f\nf: ret\n" $(basename $n) >b.s; as -o usr/lib/app.o b.s'
pair gcc-kernel-banner usr/lib/version.o 'embedded-time user-name host-name' "$times; U=ann; H=vm-7f3a" "$later; U=bob; H=builder02" \
    'printf "const char linux_banner[] = \"Linux version 6.1.0 (%s@%s) (gcc (Debian 12.2.0-14) 12.2.0, GNU ld 2.40) #1 SMP %s\";\n" $U $H "$(at "$AT" date)" >v.c; gcc -c -o usr/lib/version.o v.c'
pair gcc-date-and-path usr/bin/app 'embedded-time build-path' "$times; $paths" "$later; $other" \
    'mkdir -p $D; echo "const char *when = __DATE__ \" \" __TIME__, *where = __FILE__; int main(void) { return when[0] + where[0]; }" >$D/a.c
     at "$AT" gcc -s '"$link"' -o usr/bin/app $D/a.c'
pair gcc-path-and-compiler usr/lib/app.o 'build-path toolchain' "$paths; CC=gcc-11" "$other; CC=gcc-12" \
    'mkdir -p $D; echo "int f(int x) { return x + 1; }" >$D/a.c; (cd $D; $CC -g -c a.c); cp $D/a.o usr/lib/app.o'

pair rust-env usr/lib/app.o embedded-time "$times" "$later" \
    'echo "#![no_std] #[no_mangle] pub static BUILT: &str = env!(\"BUILT\");" >a.rs; BUILT=$(at "$AT" date +%FT%TZ) rustc --crate-type lib --emit obj -C panic=abort -o usr/lib/app.o a.rs'
pair rust-panic-path usr/lib/app.o build-path "$paths" "$other" \
    'mkdir -p $D/src; echo "#![no_std] #[no_mangle] pub fn f(x: &[u8], n: usize) -> u8 { x[n] }" >$D/src/lib.rs
     rustc --crate-type lib --emit obj -C panic=abort -C opt-level=1 -o usr/lib/app.o $D/src/lib.rs'
pair cargo-depfile app/app.d build-path "$paths" "$other" \
    'mkdir -p $D/src; cd $D; printf "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n" >Cargo.toml; : >src/lib.rs
     cargo build --offline --quiet; cp target/debug/libapp.d /tmp/compare-corpus/build/app/app.d'
pair go-object usr/lib/app.a build-path "$paths" "$other" \
    'mkdir -p $D; printf "package app\n\nfunc F(x []int, n int) int { return x[n] }\n" >$D/a.go; (cd $D; HOME=/root go tool compile -p app -o app.a a.go); cp $D/app.a usr/lib/app.a'
pair java-release app/App.class toolchain 'R=11' 'R=17' \
    'echo "class App { int f(int x) { return x + 1; } }" >App.java; javac --release $R -d app App.java'

pair ar-times usr/lib/libapp.a embedded-time "$times" "$later" \
    'echo "int f(void) { return 1; }" >a.c; gcc -c a.c; touch -d "$AT" a.o; ar rcU usr/lib/libapp.a a.o'
pair ar-order usr/lib/libapp.a file-order 'O="a.o b.o c.o"' 'O="b.o c.o a.o"' \
    'for n in a b c; do echo "int f_$n(void) { return sizeof \"$n\"; }" >$n.c; gcc -c $n.c; done; ar rcD usr/lib/libapp.a $O'
pair ar-owner usr/lib/libapp.a owner 'U=0' 'U=1000' \
    'echo "int f(void) { return 1; }" >a.c; gcc -c a.c; touch -d @1 a.o; chown $U a.o; ar rcU usr/lib/libapp.a a.o'
pair ar-nested usr/lib/libapp.a 'build-path embedded-time' "$paths; $times" "$other; $later" \
    'mkdir -p $D; echo "int f(void) { return 1; }" >$D/a.c; (cd $D; gcc -g -c a.c); touch -d "$AT" $D/a.o; ar rcU usr/lib/libapp.a $D/a.o'
