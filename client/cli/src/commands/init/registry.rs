//! Asks a registry which digest a name stands for now (OCI distribution specification 1.1, "Pulling
//! manifests"): one HEAD request, after a token where the registry wants one. Nothing is pulled.

use caution_appspec::excerpt;
use serde::Deserialize;
use std::time::Duration;

/// Longest wait for one answer. Nobody waits at a prompt for a registry that does not answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Tokens of registries have a few KiB.
const MAX_TOKEN: u64 = 64 * 1024;
/// The longest words of a registry or of the network that are repeated, in characters.
const MAX_SHOWN: usize = 200;
/// What may stand behind a name: an image, or one for each platform, in OCI's form and in Docker's.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// A registry.
pub(super) struct Registry {
    agent: ureq::Agent,
    /// Without a final slash.
    url: String,
}

impl Registry {
    /// Where engines look for names without a host: Docker's own.
    pub(super) fn of_engines() -> Self {
        Self::at("https://registry-1.docker.io", ureq::Proxy::try_from_env())
    }

    fn at(url: &str, proxy: Option<ureq::Proxy>) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .max_redirects(0)
            .proxy(proxy)
            .http_status_as_error(false);
        Self { agent: config.build().into(), url: url.to_owned() }
    }

    /// The digest, `sha256:` and 64 hex digits, that `repository:latest` stands for; else the reason why
    /// it is not known.
    pub(super) fn latest(&self, repository: &str) -> Result<String, String> {
        let mut answer = self.head(repository, None)?;
        if answer.status() == 401 {
            let challenge = header(&answer, "www-authenticate").unwrap_or_default();
            let token = self.token(&challenge)?;
            answer = self.head(repository, Some(&token))?;
        }
        if answer.status() != 200 {
            return Err(format!("{} answered HTTP {}", self.url, answer.status().as_u16()));
        }
        header(&answer, "docker-content-digest")
            .filter(|digest| is_digest(digest))
            .ok_or_else(|| format!("{} named no SHA-256 digest", self.url))
    }

    fn head(&self, repository: &str, token: Option<&str>) -> Result<Answer, String> {
        let url = format!("{}/v2/{repository}/manifests/latest", self.url);
        let mut request = self.agent.head(&url).header("Accept", MANIFESTS);
        if let Some(token) = token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        request.call().map_err(|cause| self.unreachable(&cause))
    }

    /// An anonymous token from where the challenge says (RFC 6750 §3, and Docker's token
    /// specification for `service` and `scope`).
    fn token(&self, challenge: &str) -> Result<String, String> {
        #[derive(Deserialize)]
        struct Answer {
            token: String,
        }
        let odd = || format!("{} asks for credentials in a way not known here", self.url);
        let parameter = |name: &str| {
            let rest = challenge.strip_prefix("Bearer ")?.split_once(&format!("{name}=\""))?.1;
            rest.split('"').next()
        };
        let realm = parameter("realm").ok_or_else(odd)?;
        // Nothing secret is sent, but what comes back is believed.
        if self.url.starts_with("https://") && !realm.starts_with("https://") {
            return Err(odd());
        }
        let mut request = self.agent.get(realm);
        for name in ["service", "scope"] {
            if let Some(value) = parameter(name) {
                request = request.query(name, value);
            }
        }
        let mut answer = request.call().map_err(|cause| self.unreachable(&cause))?;
        let text = answer.body_mut().with_config().limit(MAX_TOKEN).read_to_string();
        let text = text.map_err(|cause| self.unreachable(&cause))?;
        serde_json::from_str(&text).map(|answer: Answer| answer.token).map_err(|_| odd())
    }

    fn unreachable(&self, cause: &ureq::Error) -> String {
        format!("{} cannot be reached ({})", self.url, excerpt(&cause.to_string(), MAX_SHOWN))
    }
}

type Answer = ureq::http::Response<ureq::Body>;

fn header(answer: &Answer, name: &str) -> Option<String> {
    Some(answer.headers().get(name)?.to_str().ok()?.to_owned())
}

/// A digest that engines take: `sha256:` and 64 lower-case hex digits.
fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;

    /// A registry that gives these answers in turn, `{url}` being its own address; returns what it was
    /// asked once all are given.
    fn registry(answers: &[&str]) -> (Registry, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answers: Vec<_> = answers.iter().map(|answer| answer.replace("{url}", &url)).collect();
        let asked = std::thread::spawn(move || {
            let mut requests = Vec::new();
            for answer in answers {
                let mut stream = listener.accept().unwrap().0;
                let lines = BufReader::new(&stream).lines().map(Result::unwrap);
                requests.push(lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n"));
                stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).unwrap();
            }
            requests
        });
        (Registry::at(&url, None), asked)
    }

    const DIGEST: &str = "sha256:9c38bf1066dd9ad1b6a6b584974dd798c2bf798985bf82e58024fbe0515592ca";

    fn found() -> String {
        format!("200 OK\r\nConnection: close\r\nDocker-Content-Digest: {DIGEST}\r\n\r\n")
    }

    #[test]
    fn a_name_becomes_a_digest() {
        let (registry, asked) = registry(&[&found()]);
        assert_eq!(registry.latest("stagex/pallet-rust").unwrap(), DIGEST);
        let asked = asked.join().unwrap();
        assert!(
            asked[0].starts_with("HEAD /v2/stagex/pallet-rust/manifests/latest HTTP/1.1"),
            "{}",
            asked[0]
        );
        assert!(asked[0].contains("application/vnd.oci.image.index.v1+json"), "{}", asked[0]);
    }

    #[test]
    fn a_token_is_fetched_where_one_is_wanted() {
        let challenge = "401 Unauthorized\r\nConnection: close\r\nWWW-Authenticate: Bearer \
            realm=\"{url}/token\",service=\"registry\",scope=\"repository:a/b:pull\"\r\n\r\n";
        let token = "200 OK\r\nConnection: close\r\nContent-Length: 17\r\n\r\n{\"token\": \"T-1\"} ";
        let (registry, asked) = registry(&[challenge, token, &found()]);
        assert_eq!(registry.latest("a/b").unwrap(), DIGEST);
        let asked = asked.join().unwrap();
        assert!(asked[1].starts_with("GET /token?service=registry&scope=repository"), "{}", asked[1]);
        assert!(asked[2].to_ascii_lowercase().contains("authorization: bearer t-1"), "{}", asked[2]);
    }

    #[test]
    fn whatever_is_no_digest_has_a_reason() {
        let short = found().replace("92ca", "92c");
        let basic = "401 Unauthorized\r\nConnection: close\r\nWWW-Authenticate: Basic realm=\"x\"\r\n\r\n";
        for (answer, reason) in [
            ("404 Not Found\r\nConnection: close\r\n\r\n", "HTTP 404"),
            ("302 Found\r\nConnection: close\r\nLocation: http://127.0.0.1:1/\r\n\r\n", "HTTP 302"),
            ("200 OK\r\nConnection: close\r\n\r\n", "no SHA-256 digest"),
            (&short, "no SHA-256 digest"),
            (basic, "credentials"),
            ("nonsense", "cannot be reached"),
        ] {
            let (registry, _asked) = registry(&[answer]);
            let said = registry.latest("a/b").unwrap_err();
            assert!(said.contains(reason), "{answer}: {said}");
        }
    }
}
