-- dumped 2026-11-20 08:01:59.041647
create table t(a int);
