//! How a container image is started: what becomes the boot plan of an enclave image.

use super::{Aspect, Difference, EntryFacts, Status};
use crate::cause::{Attribution, Cause};
use crate::content::{self, Change, Explanation};
use crate::entry::KindName;
use crate::side::{Facts, LayerName, Side};
use caution_appspec::excerpt;
use caution_rootfs::oci::ImageConfig;

/// The configuration, where both sides have one and they differ in what an enclave is started with.
pub(super) fn difference(left: &Side, right: &Side) -> Option<Difference> {
    let (
        Facts::Container { config: l, config_digest: l_digest, .. },
        Facts::Container { config: r, config_digest: r_digest, .. },
    ) = (left.facts(), right.facts())
    else {
        return None;
    };
    let content = compare(l, r)?;
    let facts = |digest: &caution_measure::Sha256Digest| EntryFacts {
        kind: KindName::Configuration,
        size: None,
        sha256: Some(digest.to_string()),
        mode: None,
        owner: None,
        target: None,
        written_by: None,
    };
    Some(Difference {
        layer: LayerName::Image.to_string(),
        path: "configuration".into(),
        status: Status::Changed,
        left: Some(facts(l_digest)),
        right: Some(facts(r_digest)),
        aspects: vec![Aspect::Content],
        not_looked_into: None,
        attributions: content.attributions.clone(),
        unexplained: !content.complete,
        content: Some(content),
    })
}

fn compare(left: &ImageConfig, right: &ImageConfig) -> Option<Explanation> {
    let mut found = Explanation {
        kind: "configuration of a container image".into(),
        changes: Vec::new(),
        more_changes: 0,
        attributions: Vec::new(),
        complete: true,
    };
    let list = |list: &[String]| serde_json::json!(list).to_string();
    for (key, l, r) in [
        ("ENTRYPOINT", list(&left.entrypoint), list(&right.entrypoint)),
        ("CMD", list(&left.cmd), list(&right.cmd)),
        ("WORKDIR", left.working_dir.clone(), right.working_dir.clone()),
        ("USER", left.user.clone(), right.user.clone()),
    ] {
        if l != r {
            let said = |text: &str| excerpt(&content::without_secrets(text), 300);
            let what = format!("{} → {}", said(&l), said(&r));
            let fix = format!("it comes from {key} of the Containerfile: build both sides from the same one");
            found.attributions.push(Attribution {
                cause: Cause::Config,
                evidence: format!("{key}: {what}"),
                fix,
            });
            found.changes.push(Change { place: key.into(), what });
        }
    }
    // A value can be that of a build: a date, a host name.
    let lines = |env: &[String]| env.iter().map(|line| format!("{line}\n")).collect::<String>();
    let (l, r) = (lines(&left.env), lines(&right.env));
    if l != r {
        let mut env = content::compare(b"ENV", l.as_bytes(), r.as_bytes());
        found.changes.append(&mut env.changes);
        found.attributions.append(&mut env.attributions);
        found.more_changes += env.more_changes;
        found.complete &= env.complete;
    }
    (!found.changes.is_empty()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::super::{Comparison, DiffLimits, compare};
    use crate::cause::Cause;
    use crate::side::Side;
    use crate::testing::container_with;
    use caution_rootfs::Limits;

    #[test]
    fn how_container_images_are_started_is_compared() {
        let folder = tempfile::tempdir().unwrap();
        let image = |name: &str, config: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, container_with(&[("a", "1")], config)).unwrap();
            Side::open(&path, &Limits::default(), folder.path()).unwrap()
        };
        let compared = |left: &Side, right: &Side| -> Comparison {
            compare(left, right, &DiffLimits::default(), folder.path()).unwrap()
        };
        let left = image("left", r#"{"Cmd": ["/a"], "Env": ["BUILT=2026-11-20 08:01:59"]}"#);
        let right =
            image("right", r#"{"Cmd": ["/b"], "User": "1000", "Env": ["BUILT=2026-11-21 17:23:11"]}"#);
        let comparison = compared(&left, &right);
        assert!(!comparison.is_same() && comparison.differences.len() == 1, "{comparison:?}");
        let difference = &comparison.differences[0];
        let causes: Vec<Cause> = difference.attributions.iter().map(|found| found.cause).collect();
        assert_eq!(causes, [Cause::Config, Cause::Config, Cause::EmbeddedTime]);
        assert_eq!(difference.attributions[0].evidence, r#"CMD: ["/a"] → ["/b"]"#);
        assert!(compared(&left, &left).is_same());
    }
}
