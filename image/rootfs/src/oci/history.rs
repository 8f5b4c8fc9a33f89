//! How an image says it was built: `history` of its configuration (OCI `config.md`).
//!
//! It is a note that no digest of a layer vouches for. What is odd about it is no error: then there is none.

use super::Image;
use serde::Deserialize;

/// A step of the build of an image.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Step {
    /// What did it, in the engine's words: `/bin/sh -c make install`.
    #[serde(default)]
    pub created_by: String,
    /// Whether it left no layer.
    #[serde(default)]
    pub empty_layer: bool,
}

impl Image {
    /// The step that left each layer, as indexes into the history, the lowest first.
    ///
    /// `None` where there are more or fewer of them than layers: an engine that puts several steps into one layer
    /// does not say which.
    pub fn steps_of_layers(&self) -> Option<Vec<usize>> {
        steps_of_layers(&self.history, self.layers.len())
    }
}

fn steps_of_layers(history: &[Step], layers: usize) -> Option<Vec<usize>> {
    let with_layer = |index: &usize| !history[*index].empty_layer;
    let steps: Vec<usize> = (0..history.len()).filter(with_layer).collect();
    (steps.len() == layers).then_some(steps)
}

#[derive(Deserialize)]
struct Configuration {
    history: Vec<Step>,
}

/// The steps in a configuration; none where there are too many or one cannot be read. It is read by itself: nothing
/// depends on it, so it is no reason to refuse an image.
pub(super) fn parse(configuration: &[u8]) -> Vec<Step> {
    let read: Option<Configuration> = serde_json::from_slice(configuration).ok();
    read.map(|read| read.history).filter(|history| history.len() <= MOST_STEPS).unwrap_or_default()
}

/// Eight for each of the most layers.
const MOST_STEPS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn step(created_by: &str, empty_layer: bool) -> Step {
        Step { created_by: created_by.into(), empty_layer }
    }

    #[test]
    fn each_layer_has_the_step_that_left_it() {
        let history = [step("base", false), step("ENV", true), step("RUN", false), step("CMD", true)];
        assert_eq!(steps_of_layers(&history, 2), Some(vec![0, 2]));
    }

    #[test]
    fn steps_and_layers_that_do_not_agree_are_not_paired() {
        let squashed = [step("RUN one", false), step("RUN two", false)];
        assert_eq!(steps_of_layers(&squashed, 1), None);
        assert_eq!(steps_of_layers(&squashed, 3), None);
        assert_eq!(steps_of_layers(&[], 1), None);
        assert_eq!(steps_of_layers(&[], 0), Some(Vec::new()));
    }

    #[test]
    fn a_history_that_cannot_be_read_is_none() {
        let read = |history: Value| parse(json!({"history": history, "rootfs": 7}).to_string().as_bytes());
        let two = json!([{"created_by": "a", "created": 7, "more": {}}, {"empty_layer": true}]);
        assert_eq!(read(two), [step("a", false), step("", true)]);
        let many = vec![json!({}); MOST_STEPS];
        assert_eq!(read(many.clone().into()).len(), MOST_STEPS);
        let too_many = [many, vec![json!({})]].concat();
        for odd in
            [Value::Null, json!({}), json!("x"), json!([7]), json!([{"created_by": 7}]), too_many.into()]
        {
            assert!(read(odd).is_empty());
        }
        assert!(parse(b"{}").is_empty() && parse(b"").is_empty());
    }
}
