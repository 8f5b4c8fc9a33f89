//! From routes to Caddy's configuration: a pure function.
//!
//! Nothing in the configuration changes when an enclave boots, dies or is replaced: an upstream is
//! one of two *slots*, links in a folder that the request finds as they are at that moment
//! ([`super::slots`]). So Caddy is configured anew only when an app comes or goes or changes what it
//! declares. That matters because Caddy 2.6 closes every WebSocket when it takes a configuration.

use super::routes::{App, Protocol, Routes};
use super::rules::networks;
use super::settings::{Acme, Settings};
use super::slots::{self, Slots};
use caution_abi::network::Ipv4Network;
use caution_abi::{evidence, health};
use serde_json::{Value, json};

/// Paths that EnclaveOS answers, whatever the app does.
const PLATFORM_PATHS: [&str; 2] = [evidence::PATH, health::PATH];
/// A question to attestd is a nonce in a little JSON.
const MAX_QUESTION: u32 = 64 * 1024;
/// Request line and headers together; Go adds 4 KiB.
const MAX_HEADERS: u32 = 32 * 1024;
/// What clients say of themselves where only a proxy may speak. Caddy itself replaces
/// X-Forwarded-For, -Proto and -Host. CGI and its successors (WSGI, Rack, PHP) take `_` for `-`, so
/// that to an app behind them the spellings with `_` are the same headers.
const NOT_FROM_CLIENTS: [&str; 10] = [
    "Forwarded",
    "X-Real-Ip",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X_Forwarded*",
    "X-Forwarded_*",
    "X_Real*",
    "X-Real_*",
];
/// How long a connection to an app is kept that no request uses. An enclave that is replaced waits for its
/// connections, and cannot know that nobody needs one.
const UPSTREAM_IDLE: &str = "5s";
/// A boot takes a few seconds.
const RETRY_AFTER: &str = "2";

/// Caddy without routes: it holds its admin socket and nothing else.
pub(crate) fn bare(settings: &Settings) -> Value {
    json!({
        "admin": {
            "listen": format!("unix/{}", settings.admin().display()),
            "enforce_origin": true,
            "origins": [super::admin::ORIGIN],
            // What Caddy is to do is the agent's to remember.
            "config": {"persist": false},
        },
        "logging": {"logs": {"default": {
            "level": "INFO",
            "writer": {
                "output": "file", "filename": settings.log(), "roll_size_mb": 4, "roll_keep": 1,
            },
        }}},
        "storage": {"module": "file_system", "root": settings.storage()},
    })
}

/// Caddy with these routes.
pub(crate) fn full(settings: &Settings, routes: &Routes, slots: &Slots) -> Value {
    let mut config = bare(settings);
    if routes.apps.is_empty() {
        return config;
    }
    let servers = json!({"https": https(settings, routes, slots), "http": redirecting(settings, routes)});
    config["apps"] = json!({
        "http": {
            "http_port": settings.http_port,
            "https_port": settings.https_port,
            "servers": servers,
        },
        "tls": certificates(settings, routes),
        "pki": {"certificate_authorities": {"local": {
            "name": "Caution on this machine",
            "root_common_name": "Caution on this machine, root",
            "intermediate_common_name": "Caution on this machine, intermediate",
            // Whom this machine trusts is its user's decision.
            "install_trust": false,
        }}},
    });
    config
}

/// What both servers hold against slow and large requests. There is no limit on a whole request or
/// answer: either may be a stream that lives for days.
fn server(settings: &Settings, port: u16) -> Value {
    let listen: Vec<String> = if settings.listen.is_empty() {
        vec![format!(":{port}")]
    } else {
        settings.listen.iter().map(|address| std::net::SocketAddr::new(*address, port).to_string()).collect()
    };
    json!({
        "listen": listen,
        // Redirects and certificates are below, in full view.
        "automatic_https": {"disable": true},
        "read_header_timeout": format!("{}ms", settings.header_limit.as_millis()),
        "idle_timeout": "2m",
        "max_header_bytes": MAX_HEADERS,
    })
}

fn https(settings: &Settings, routes: &Routes, slots: &Slots) -> Value {
    let mut server = server(settings, settings.https_port);
    server["tls_connection_policies"] = json!([{}]);
    let mut all: Vec<Value> = routes.apps.iter().map(|app| app_route(settings, app, slots)).collect();
    all.push(nobody());
    server["routes"] = json!(all);
    server["errors"] = json!({"routes": error_routes()});
    server
}

/// Plain HTTP gets nobody further than to HTTPS. Challenges of ACME are answered by Caddy before
/// any route.
fn redirecting(settings: &Settings, routes: &Routes) -> Value {
    let mut server = server(settings, settings.http_port);
    let hosts: Vec<String> = routes.apps.iter().flat_map(App::hosts).collect();
    let port = if settings.https_port == 443 { String::new() } else { format!(":{}", settings.https_port) };
    server["routes"] = json!([
        {
            "match": [{"host": hosts}],
            "terminal": true,
            "handle": [{
                "handler": "static_response",
                "status_code": 308,
                "headers": {"Location": [format!("https://{{http.request.host}}{port}{{http.request.uri}}")]},
            }],
        },
        nobody(),
    ]);
    server
}

/// All that one app's names lead to.
fn app_route(settings: &Settings, app: &App, slots: &Slots) -> Value {
    let mut inner = vec![json!({"handle": [{"handler": "vars", "app": app.name}]})];
    if let (Some(domain), Some(_)) = (app.domain(), &settings.acme) {
        inner.push(strict_transport(domain));
    }
    inner.push(json!({
        "match": [{"path": PLATFORM_PATHS}],
        "terminal": true,
        "handle": [
            {"handler": "request_body", "max_size": MAX_QUESTION},
            proxy(&slots.attestation(app), &json!({
                "protocol": "http", "versions": ["1.1"], "compression": false,
                // attestd has few places, and none for somebody who has asked already.
                "keep_alive": {"enabled": false},
            })),
        ],
    }));
    match &app.spec.http {
        None => inner.push(json!({"handle": [problem(
            404, "Not Found", "{http.vars.app} has no HTTP port; only /attestation is answered here."
        )]})),
        Some(http) => {
            let admitted: Vec<Ipv4Network> = networks(http.port, &app.spec.rules).collect();
            if !app.spec.rules.is_empty() && !admitted.contains(&Ipv4Network::ALL) {
                inner.push(refuse_others(&admitted));
            }
            let transport = match http.protocol {
                Protocol::Http => json!({
                    "protocol": "http", "versions": ["1.1"], "compression": false,
                    "keep_alive": {"max_idle_conns_per_host": 256, "idle_timeout": UPSTREAM_IDLE},
                }),
                Protocol::H2c => json!({
                    "protocol": "http", "versions": ["h2c", "2"], "compression": false,
                }),
            };
            let [first, second] = slots.of(app);
            inner.push(json!({
                "match": [{"file": {"root": slots.folder(), "try_files": [format!("/{}", slots::switch(app))]}}],
                "terminal": true,
                "handle": [proxy(&second, &transport)],
            }));
            inner.push(json!({"handle": [proxy(&first, &transport)]}));
        }
    }
    json!({
        "match": [{"host": app.hosts()}],
        "terminal": true,
        "handle": [{"handler": "subroute", "routes": inner}],
    })
}

/// Browsers are told to come by HTTPS alone where the name is a real one with a certificate that
/// everybody trusts. Not for local names: browsers keep it for a year, and other programs of the
/// user live on `localhost`. What the app itself says stays.
fn strict_transport(domain: &str) -> Value {
    json!({
        "match": [{"host": [domain]}],
        "handle": [{"handler": "headers", "response": {
            "deferred": true,
            "require": {"headers": {"Strict-Transport-Security": null}},
            "set": {"Strict-Transport-Security": ["max-age=31536000"]},
        }}],
    })
}

fn refuse_others(admitted: &[Ipv4Network]) -> Value {
    let handle = json!([problem(
        403,
        "Forbidden",
        "{http.vars.app} does not let {http.request.remote.host} in: its ingress rules name others."
    )]);
    if admitted.is_empty() {
        return json!({"terminal": true, "handle": handle});
    }
    json!({
        "match": [{"not": [{"remote_ip": {"ranges": admitted}}]}],
        "terminal": true,
        "handle": handle,
    })
}

/// Bytes go on as they come, both ways: nothing is collected, nothing unpacked. Caddy flushes at
/// once what is an event stream or has no known length, the rest after a millisecond. Never `-1`,
/// which means the same: answers under way would then be cut short when Caddy 2.6 is configured
/// anew, and look whole to HTTP/1.1 clients.
fn proxy(socket: &str, transport: &Value) -> Value {
    json!({
        "handler": "reverse_proxy",
        "upstreams": [{"dial": format!("unix/{socket}")}],
        "transport": transport,
        "flush_interval": "1ms",
        "headers": {"request": {"delete": NOT_FROM_CLIENTS}},
    })
}

fn nobody() -> Value {
    json!({"handle": [problem(404, "Not Found", "No app of this machine has the name that was asked for.")]})
}

/// When an enclave does not answer. What never arrived, or asks for nothing but an answer, may be
/// tried again; of the rest nobody knows whether it was done.
fn error_routes() -> Value {
    let unreachable =
        "The enclave of {http.vars.app} does not answer at the moment: it is starting, or it ended.";
    let mut later = problem(503, "Service Unavailable", unreachable);
    later["headers"]["Retry-After"] = json!([RETRY_AFTER]);
    json!([
        {
            "match": [
                {"vars_regexp": {"{http.error.message}": {"pattern": "^dial "}}},
                {
                    "expression": "{http.error.status_code} == 502",
                    "method": ["GET", "HEAD", "OPTIONS"],
                },
            ],
            "terminal": true,
            "handle": [later],
        },
        {
            "match": [{"expression": "{http.error.status_code} == 502"}],
            "terminal": true,
            "handle": [problem(502, "Bad Gateway",
                "The enclave of {http.vars.app} broke off before it answered; the request may have been carried out.")],
        },
        {"handle": [problem_of(&json!("{http.error.status_code}"), "{http.error.status_code}",
            "{http.error.status_text}", "The request was not passed on to {http.vars.app}.")]},
    ])
}

fn problem(status: u16, title: &str, detail: &str) -> Value {
    problem_of(&json!(status), &status.to_string(), title, detail)
}

/// An answer by RFC 9457. Braces that are no placeholders of Caddy's are escaped.
fn problem_of(code: &Value, status: &str, title: &str, detail: &str) -> Value {
    json!({
        "handler": "static_response",
        "status_code": code,
        "headers": {"Content-Type": ["application/problem+json"], "Cache-Control": ["no-store"]},
        "body": format!(
            "\\{{\"type\":\"about:blank\",\"title\":\"{title}\",\"status\":{status},\"detail\":\"{detail}\"\\}}\n"
        ),
    })
}

/// Which names get certificates, from whom. Only names that an app declares are ever asked for, so
/// there is no on-demand issuance: its `ask` endpoint could not be a Unix socket in Caddy 2.6, and
/// who connects would decide what is ordered.
fn certificates(settings: &Settings, routes: &Routes) -> Value {
    let local: Vec<String> = routes.apps.iter().map(App::local_name).collect();
    let declared: Vec<&str> = routes.apps.iter().filter_map(App::domain).collect();
    let local_issuer = json!([{"module": "internal"}]);
    let declared_issuer =
        settings.acme.as_ref().map_or(local_issuer.clone(), |acme| acme_issuer(settings, acme));
    let all: Vec<&str> = local.iter().map(String::as_str).chain(declared.iter().copied()).collect();
    let mut policies = vec![json!({"subjects": local, "issuers": local_issuer})];
    if !declared.is_empty() {
        policies.push(json!({"subjects": declared, "issuers": declared_issuer}));
    }
    json!({"certificates": {"automate": all}, "automation": {"policies": policies}})
}

fn acme_issuer(settings: &Settings, acme: &Acme) -> Value {
    let mut issuer = json!({
        "module": "acme",
        "ca": acme.directory,
        "challenges": {
            "http": {"alternate_port": settings.http_port},
            "tls-alpn": {"alternate_port": settings.https_port},
        },
    });
    if let Some(email) = &acme.email {
        issuer["email"] = json!(email);
    }
    if let Some(root) = &acme.root {
        issuer["trusted_roots_pem_files"] = json!([root]);
    }
    json!([issuer])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingress::routes::{HttpSpec, IngressSpec};
    use crate::ingress::rules::Rule;
    use std::net::Ipv4Addr;
    use std::path::Path;
    use std::process::Command;

    /// An app of each kind: a domain and rules; gRPC and nothing else; no HTTP at all.
    fn routes() -> Routes {
        let app = |name: &str, spec| App { name: name.to_owned(), spec, upstream: None, attestation: None };
        let rule = |from: &str| Rule { from: from.parse().unwrap(), ports: 8080..=8080 };
        let http = |protocol, domain: Option<&str>| {
            Some(HttpSpec { port: 8080, protocol, domain: domain.map(str::to_owned) })
        };
        let shop = IngressSpec {
            http: http(Protocol::Http, Some("shop.example.com")),
            rules: vec![rule("10.0.0.0/8"), rule("192.0.2.0/24")],
            proxy_protocol: vec![],
        };
        let grpc = IngressSpec { http: http(Protocol::H2c, None), ..IngressSpec::default() };
        Routes { apps: vec![app("shop", shop), app("calls", grpc), app("raw", IngressSpec::default())] }
    }

    fn settings(root: &Path) -> Settings {
        Settings {
            listen: vec![Ipv4Addr::LOCALHOST.into()],
            acme: Some(Acme {
                directory: "https://127.0.0.1:14000/dir".to_owned(),
                root: None,
                email: Some("you@example.com".to_owned()),
            }),
            ..Settings::for_user(root.join("run"), root.join("state"))
        }
    }

    fn config(root: &Path) -> Value {
        let settings = settings(root);
        full(&settings, &routes(), &Slots::new(settings.folder.join("up")))
    }

    #[test]
    fn routes_become_this_configuration() {
        let text = serde_json::to_string_pretty(&config(Path::new("/x"))).unwrap() + "\n";
        assert!(text == include_str!("golden.json"), "golden.json would be:\n{text}");
    }

    #[test]
    fn caddy_takes_the_configuration() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("caddy.json");
        let none = full(&settings(root.path()), &Routes::default(), &Slots::new("/x".into()));
        for config in [config(root.path()), none] {
            std::fs::write(&file, config.to_string()).unwrap();
            let output = Command::new("caddy").args(["validate", "--config"]).arg(&file).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }

    #[test]
    fn nothing_is_listened_on_without_apps_and_never_tcp_for_the_admin() {
        let config = full(&settings(Path::new("/x")), &Routes::default(), &Slots::new("/x".into()));
        assert!(config.get("apps").is_none());
        assert_eq!(config["admin"]["listen"], "unix//x/run/admin");
    }

    #[test]
    fn without_acme_declared_domains_have_the_local_authority_and_no_hsts() {
        let settings = Settings { acme: None, ..settings(Path::new("/x")) };
        let text = full(&settings, &routes(), &Slots::new("/x".into())).to_string();
        assert!(!text.contains("acme") && !text.contains("Strict-Transport-Security"), "{text}");
    }
}
