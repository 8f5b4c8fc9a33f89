//! "did you mean".

/// The known name nearest to `given`, as a question, when it is near enough to be a slip.
pub(crate) fn did_you_mean<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    // Longer names than any key are no slips, and the table below would grow with them.
    if given.chars().count() > 64 {
        return None;
    }
    let plain = given.to_lowercase().replace(['-', ' ', '.'], "_");
    let allowed = (plain.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|name| (distance(&plain, name), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, name)| question(name))
}

/// The question for one name.
pub(crate) fn question(name: &str) -> String {
    format!("did you mean `{name}`?")
}

/// Edits between two words; a swap of neighbours counts one (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_other_words_are_not() {
        let keys = ["run", "memory", "ports", "http_port", "app_sources"];
        let of = |given| did_you_mean(given, keys);
        assert_eq!(of("app_source").as_deref(), Some("did you mean `app_sources`?"));
        assert_eq!(of("App-Sources").as_deref(), Some("did you mean `app_sources`?"));
        assert_eq!(of("memroy").as_deref(), Some("did you mean `memory`?"));
        assert_eq!(of("urn").as_deref(), Some("did you mean `run`?"));
        assert_eq!(of("release"), None);
        assert_eq!(of(""), None);
        assert_eq!(of(&"ports".repeat(100)), None);
    }

    #[test]
    fn a_swap_is_one_edit() {
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
