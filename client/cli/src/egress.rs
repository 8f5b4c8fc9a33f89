//! What an app can reach, in words.

use caution_abi::egress::EgressRule;
use std::fmt::Write as _;

/// The rules of a boot plan, one a line; `margin` stands before each.
pub(crate) fn can_reach(rules: &[EgressRule], margin: &str) -> String {
    let Some((first, more)) = rules.split_first() else {
        return format!("{margin}can reach  nothing (no egress declared)\n");
    };
    let mut text = format!("{margin}can reach  {first}\n");
    for rule in more.iter().take(MAX_SHOWN - 1) {
        let _ = writeln!(text, "{margin}           {rule}");
    }
    if rules.len() > MAX_SHOWN {
        let _ =
            writeln!(text, "{margin}           … and {} more (--json lists them)", rules.len() - MAX_SHOWN);
    }
    let _ = writeln!(text, "{margin}           names, by asking its host's resolver");
    text
}

/// The most rules on a screen.
const MAX_SHOWN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use caution_abi::egress::Protocol;

    #[test]
    fn every_rule_has_a_line_and_names_are_told() {
        assert_eq!(can_reach(&[], "    "), "    can reach  nothing (no egress declared)\n");
        let rule = |port| EgressRule {
            network: "203.0.113.0/24".parse().unwrap(),
            ports: (port, port),
            protocol: Protocol::Tcp,
        };
        let expected = "  can reach  203.0.113.0/24 tcp 80\n             203.0.113.0/24 tcp 443\n             \
            names, by asking its host's resolver\n";
        assert_eq!(can_reach(&[rule(80), rule(443)], "  "), expected);
        let many: Vec<EgressRule> = (1..=20).map(rule).collect();
        let text = can_reach(&many, "");
        assert_eq!(text.lines().count(), MAX_SHOWN + 2);
        assert!(text.contains("tcp 16\n") && text.contains("… and 4 more") && !text.contains("tcp 17\n"));
    }
}
