//! The boot plan: how an application is started, and which key of its configuration says so.

use crate::cause::{Attribution, Cause};
use crate::content::{self, Change, Explanation};
use caution_abi::boot_plan::{BootPlan, PATH};
use caution_appspec::excerpt;
use serde_json::Value;
use std::collections::BTreeMap;

/// What differs between two boot plans, by the keys that users write.
pub(super) fn compare(left: &[u8], right: &[u8]) -> Explanation {
    let (Some(l), Some(r)) = (values(left), values(right)) else {
        return content::compare(PATH.as_bytes(), left, right);
    };
    let none = Value::Null;
    let keys = l.keys().chain(r.keys()).collect::<std::collections::BTreeSet<_>>();
    let differing: Vec<(&String, &Value, &Value)> = keys
        .into_iter()
        .map(|key| (key, l.get(key).unwrap_or(&none), r.get(key).unwrap_or(&none)))
        .filter(|(_, left, right)| left != right)
        .collect();
    let change = |(key, left, right): &(&String, &Value, &Value)| Change {
        place: excerpt(key, 100),
        what: format!("{} → {}", said(left), said(right)),
    };
    let attributions = differing.iter().map(|(key, left, right)| Attribution {
        cause: Cause::Config,
        evidence: format!("{}: {} → {}", excerpt(key, 100), said(left), said(right)),
        fix: where_said(key),
    });
    Explanation {
        kind: "boot plan".into(),
        changes: differing.iter().map(change).collect(),
        more_changes: 0,
        attributions: attributions.collect(),
        complete: true,
    }
}

/// Every value of a plan by the path of its key, `app.env.PORT`; `None` where these bytes are no plan.
fn values(bytes: &[u8]) -> Option<BTreeMap<String, Value>> {
    let plan = BootPlan::from_bytes(bytes).ok()?;
    let Value::Object(top) = serde_json::to_value(plan).ok()? else { return None };
    let mut found = BTreeMap::new();
    for (key, value) in top {
        match value {
            Value::Object(inner) if key != "readiness" => {
                for (name, value) in inner {
                    match value {
                        Value::Object(env) if name == "env" => {
                            found.extend(env.into_iter().map(|(name, value)| (format!("env {name}"), value)));
                        }
                        value => drop(found.insert(name, value)),
                    }
                }
            }
            value => drop(found.insert(key, value)),
        }
    }
    Some(found)
}

/// Where a user says it.
fn where_said(key: &str) -> String {
    let place = match key {
        "argv" => {
            "`run` of the Procfile or `command` of caution.hcl; without them ENTRYPOINT and CMD of the image"
        }
        "cwd" => "WORKDIR of the Containerfile",
        "uid" | "gid" | "groups" => "USER of the Containerfile, and the image's /etc/passwd and /etc/group",
        "ports" => "`ports` of the Procfile or the ingress rules of caution.hcl",
        "http_port" => "`http_port` of the Procfile or the `http` port of caution.hcl",
        "logs" => "`logs` of the Procfile or of caution.hcl",
        key if key.starts_with("env ") => "`env` of the configuration, or ENV of the Containerfile",
        _ => "the configuration, Procfile or caution.hcl",
    };
    format!("it comes from {place}: build both sides from the same one")
}

fn said(value: &Value) -> String {
    let text = match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => format!("`{text}`"),
        other => other.to_string(),
    };
    excerpt(&content::without_secrets(&text), 300)
}
