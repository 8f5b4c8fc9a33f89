//! What no report may show, wherever it stands: password hashes, and keys in base64.

use std::borrow::Cow;

/// A text with a mark in the place of each password hash (`$6$salt$digest`, as crypt(5) and PHC write them) and of
/// each PEM block that is wrapped in base64, as in a kubeconfig.
pub(crate) fn without(text: &str) -> Cow<'_, str> {
    let mut shown = String::new();
    let (mut kept, mut at) = (0, 0);
    while let Some(found) = text[at..].find(['$', 'L']) {
        let start = at + found;
        let rest = &text[start..];
        let Some((visible, length)) = hash(rest).or_else(|| wrapped(rest)) else {
            at = start + 1;
            continue;
        };
        shown.push_str(&text[kept..start + visible]);
        shown.push('…');
        (kept, at) = (start + length, start + length);
    }
    if kept == 0 {
        return Cow::Borrowed(text);
    }
    shown.push_str(&text[kept..]);
    Cow::Owned(shown)
}

/// How long the name of the method is, and the whole hash.
fn hash(text: &str) -> Option<(usize, usize)> {
    let (id, rest) = text.strip_prefix('$')?.split_once('$')?;
    let named = (1..=12).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let length = run(rest, |b| b.is_ascii_alphanumeric() || b"./+=,$-".contains(&b));
    (named && length >= LEAST_HASH).then_some((id.len() + 2, id.len() + 2 + length))
}

fn wrapped(text: &str) -> Option<(usize, usize)> {
    text.starts_with(WRAPPED).then(|| (4, run(text, |b| b.is_ascii_alphanumeric() || b"/+=".contains(&b))))
}

fn run(text: &str, is_part: impl Fn(u8) -> bool) -> usize {
    text.bytes().take_while(|b| is_part(*b)).count()
}

/// Salt and digest; MD5, the shortest in use, has 22 characters without its salt.
const LEAST_HASH: usize = 20;
/// `-----BEGIN ` in base64.
const WRAPPED: &str = "LS0tLS1CRUdJTi";

#[cfg(test)]
mod tests {
    use super::without;

    #[test]
    fn hashes_are_marked_and_nothing_else() {
        let cases = [
            ("a:$6$salt$0123456789abcdefghij/.:19000", "a:$6$…:19000"),
            ("$2b$12$0123456789abcdefghij0123456789", "$2b$…"),
            ("x $argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA y", "x $argon2id$… y"),
            ("key: LS0tLS1CRUdJTiBQUklWQVRF, L", "key: LS0t…, L"),
            ("$HOME/$USER costs $5$ é $", "$HOME/$USER costs $5$ é $"),
        ];
        for (text, expected) in cases {
            assert_eq!(without(text), expected);
        }
    }
}
