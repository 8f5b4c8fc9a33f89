use super::{Context, judge};
use crate::cause::Cause::{self, *};

fn causes(left: &str, right: &str, context: &Context<'_>) -> Vec<Cause> {
    let there: Vec<Cause> = judge(left, right, context).shown.into_iter().map(|(cause, _)| cause).collect();
    let back: Vec<Cause> = judge(right, left, context).shown.into_iter().map(|(cause, _)| cause).collect();
    assert_eq!(there, back, "{left} | {right}");
    there
}

#[test]
fn what_two_lines_show() {
    let cases: [(&str, &str, &[Cause]); 16] = [
        ("Fri Nov 20 08:01:59 UTC 2026", "Sat Nov 21 17:23:11 UTC 2026", &[EmbeddedTime]),
        ("Fri Nov 20 08:01:59 UTC 2026", "Fri Nov 20 09:01:59 CET 2026", &[TimeZone]),
        ("Fri Nov 20 08:01:59 UTC 2026", "Fr 20. Nov 08:01:59 UTC 2026", &[Locale]),
        ("generated on 2026-11-20", "generated on 2026-11-21", &[EmbeddedTime]),
        ("valid until 2026-11-20", "valid until 2027-11-20", &[]),
        ("build host: vm-1", "build host: vm-2", &[HostName]),
        ("the host vm-1", "the host vm-2", &[]),
        ("compiled by ann@vm-1", "compiled by bob@vm-2", &[HostName, UserName]),
        ("write to ann@vm-1", "write to bob@vm-2", &[]),
        ("id 6f1c1c5e-0b3f-4f0e-9d3b-0a1b2c3d4e5f", "id 7f1c1c5e-0b3f-4f0e-9d3b-0a1b2c3d4e50", &[Randomness]),
        ("token = d41d8cd98f00b204e9800998", "token = a94a8fe5ccb19ba61c4c0873", &[Randomness]),
        ("md5 d41d8cd98f00b204e9800998", "md5 a94a8fe5ccb19ba61c4c0873", &[]),
        ("took 1.52s, finished", "took 2.31s, finished", &[EmbeddedTime]),
        ("{'a', 'b', 'c'}", "{'c', 'a', 'b'}", &[FileOrder]),
        ("1.234,50", "1,234.50", &[Locale]),
        ("threads 4", "threads four", &[]),
    ];
    for (left, right, expected) in cases {
        assert_eq!(causes(left, right, &Context::default()), expected, "{left} | {right}");
    }
}

#[test]
fn in_sources_only_what_nobody_types_is_evidence() {
    let source = Context { source: true, ..Context::default() };
    assert_eq!(causes("tz: UTC", "tz: CET", &source), []);
    assert_eq!(causes("at = '2026-11-20 08:01:59'", "at = '2026-11-21 17:23:11'", &source), [EmbeddedTime]);
    assert_eq!(causes("on = '2026-11-20'", "on = '2026-11-21'", &source), []);
    assert_eq!(causes("built = '2026-11-20'", "built = '2026-11-21'", &source), []);
}

#[test]
fn one_line_may_show_several_causes_and_something_else() {
    let left = "2026-11-20 08:01:59 built by ann on vm of mine";
    let right = "2026-11-21 17:23:11 built by bob on vm of hers";
    let verdict = judge(left, right, &Context::default());
    assert_eq!(verdict.shown.len(), 2);
    assert_eq!(verdict.shown[1], (UserName, "ann → bob".to_owned()));
    assert!(!verdict.complete);
}
