-- dumped 2026-11-21 17:23:11.082771
create table t(a int);
