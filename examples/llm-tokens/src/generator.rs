//! Stands where a model would: the next word is drawn from the words that follow the last one in a
//! small text. No weights, no meaning; the same prompt gives the same words on any machine.

/// All it ever read.
const TEXT: &str = "An enclave runs one program and shows what it runs . A reader builds the program from source \
and compares what it builds with what the enclave shows . When both are the same , the reader knows what runs . \
When a byte of the source is another , what the enclave shows is another , and the reader knows that too . \
A host runs the enclave and sees no word of it . A model in an enclave reads a prompt and answers one word \
after the other , and no host reads the prompt or the answer .";

/// The words of one answer, without end.
pub struct Words {
    text: Vec<&'static str>,
    last: &'static str,
    state: u64,
}

impl Words {
    /// Goes on from a prompt: the prompt decides every word.
    pub fn after(prompt: &str) -> Self {
        let text: Vec<_> = TEXT.split_whitespace().collect();
        let said = prompt.split_whitespace().next_back().unwrap_or_default();
        // A prompt that ends in a word it never read is an end of a sentence to it.
        let last = text.iter().copied().find(|word| word.eq_ignore_ascii_case(said)).unwrap_or(".");
        Self { text, last, state: fnv1a(prompt.as_bytes()) }
    }
}

impl Iterator for Words {
    type Item = &'static str;

    fn next(&mut self) -> Option<&'static str> {
        let last = self.last;
        // The text is a ring, so every word of it has a follower.
        let followers = self.text.iter().zip(self.text.iter().cycle().skip(1));
        let followers: Vec<_> = followers.filter(|(word, _)| **word == last).map(|(_, next)| *next).collect();
        self.state = xorshift(self.state);
        self.last = followers[(self.state % followers.len() as u64) as usize];
        Some(self.last)
    }
}

/// FNV-1a, 64 bits (draft-eastlake-fnv); never 0, where the generator below would stay.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
        .max(1)
}

/// Marsaglia's xorshift64, shifts 13, 7, 17.
fn xorshift(mut state: u64) -> u64 {
    state ^= state << 13;
    state ^= state >> 7;
    state ^ (state << 17)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_decides_every_word() {
        let answer = |prompt| Words::after(prompt).take(50).collect::<Vec<_>>();
        assert_eq!(answer("What runs here?"), answer("What runs here?"));
        assert_ne!(answer("What runs here?"), answer("What runs there?"));
    }

    #[test]
    fn an_answer_goes_on_from_the_last_word() {
        for prompt in ["what the HOST", "host"] {
            let next = Words::after(prompt).next().expect("it never ends");
            assert!(["runs", "reads"].contains(&next), "{}", next);
        }
    }

    #[test]
    fn every_word_can_stand_in_json_as_it_is() {
        assert!(TEXT.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte) || byte == b' '));
    }
}
