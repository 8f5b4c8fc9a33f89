/tmp/compare-corpus/two/deep/main.o: /tmp/compare-corpus/two/deep/main.c \
 /usr/include/stdc-predef.h
