/tmp/compare-corpus/one/main.o: /tmp/compare-corpus/one/main.c \
 /usr/include/stdc-predef.h
