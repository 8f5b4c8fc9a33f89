//! Boot plans, manifests and disagreements of small apps.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

use caution_abi::boot_plan::{BootPlan, MAX_BYTES, Readiness, RestartPolicy};
use caution_abi::e2e::{AppProtocol, Origin, Suite};
use caution_abi::egress::{EgressRule, Protocol};
use caution_abi::manifest::{self, AppSource, EnclaveOsRef, Manifest};
use caution_abi::ports::AppPort;
use caution_appspec::{AppSpec, Command, ConfigFile, EndToEnd, EnvValue, Steve, parse};
use caution_measure::{Pcr, Sha256Digest};
use caution_plan::*;

const COMMIT: &str = "4f1c2a9b4f1c2a9b4f1c2a9b4f1c2a9b4f1c2a9b";

fn spec(procfile: &str) -> AppSpec {
    parse(ConfigFile::Procfile, procfile).unwrap().spec
}

fn texts(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

fn image() -> ImageProcess {
    ImageProcess {
        entrypoint: texts(&["/app/entry"]),
        cmd: texts(&["--default"]),
        env: texts(&["PATH=/bin", "MODE=image"]),
        working_dir: "/srv".to_owned(),
        uid: 1000,
        gid: 1001,
        groups: vec![30, 10, 30],
    }
}

fn port(number: u16) -> AppPort {
    AppPort::try_from(number).unwrap()
}

fn enclaveos() -> EnclaveOsRef {
    EnclaveOsRef { version: "0.1.0".to_owned(), pcr1: Pcr::new([7; 48]) }
}

fn source() -> SourceIdentity {
    SourceIdentity { commit: COMMIT.to_owned(), branch: Some("main".to_owned()) }
}

#[test]
fn the_image_alone_decides_when_the_config_is_silent() {
    let plan = boot_plan(&AppSpec::default(), &image()).unwrap();
    assert_eq!(plan.app.argv, ["/app/entry", "--default"]);
    assert_eq!((plan.app.cwd.as_str(), plan.app.uid, plan.app.gid), ("/srv", 1000, 1001));
    assert_eq!(plan.app.groups, [10, 30]);
    assert_eq!(plan.app.env["MODE"], "image");
    assert_eq!((plan.ports.len(), plan.http_port, plan.readiness), (0, None, Readiness::Started));
    assert_eq!(plan.restart.policy, RestartPolicy::OnFailure);
    assert_eq!(
        (plan.restart.max_restarts, plan.restart.backoff_ms, plan.restart.backoff_max_ms),
        (5, 1000, 30_000)
    );
}

#[test]
fn the_config_replaces_entrypoint_and_cmd_and_wins_over_the_environment() {
    let spec = spec("run: MODE=config EXTRA=1 /app/server -v\nports: 9000, 8080\nhttp_port: 9000\n");
    let plan = boot_plan(&spec, &image()).unwrap();
    assert_eq!(plan.app.argv, ["/app/server", "-v"]);
    let env: Vec<_> = plan.app.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(env, ["EXTRA=1", "MODE=config", "PATH=/bin"]);
    assert_eq!(plan.ports, [port(8080), port(9000)]);
    assert_eq!(plan.http_port, Some(port(9000)));
    assert_eq!(plan.readiness, Readiness::Tcp { port: port(9000), timeout_s: 60 });
}

#[test]
fn a_shell_line_runs_in_the_image_shell() {
    let plan = boot_plan(&spec("run: A=1 /app/server | tee /log\n"), &image()).unwrap();
    assert_eq!(plan.app.argv, ["/bin/sh", "-c", "A=1 /app/server | tee /log"]);
    assert!(!plan.app.env.contains_key("A"));
}

#[test]
fn one_file_of_the_image_runs_alone() {
    let with = |procfile: &str, image: &ImageProcess| boot_plan(&spec(procfile), image);
    let plan = with("binary: /app/entry\n", &image()).unwrap();
    assert_eq!((plan.app.argv, plan.app.cwd.as_str()), (texts(&["/app/entry", "--default"]), "/"));
    let plan = with("binary: /app/server\nrun: A=1 /app/server -v\n", &image()).unwrap();
    assert_eq!(plan.app.argv, ["/app/server", "-v"]);
    let nameless = ImageProcess { entrypoint: Vec::new(), cmd: Vec::new(), ..image() };
    assert_eq!(with("binary: /app/server\n", &nameless).unwrap().app.argv, ["/app/server"]);

    for (procfile, runs) in [
        ("binary: /app/server\n", "/app/entry"),
        ("binary: /app/server\nrun: server\n", "server"),
        ("binary: /app/server\nrun: /app/server | tee /log\n", "/bin/sh"),
    ] {
        let error = with(procfile, &image()).unwrap_err();
        assert!(matches!(&error, PlanError::NotTheBinary { program, .. } if program == runs), "{error}");
    }
}

#[test]
fn an_image_without_source_makes_a_manifest_without_source() {
    let spec = spec("run: /a\napp_sources: https://git.example.org/a.git\n");
    let plan = boot_plan(&spec, &image()).unwrap();
    assert_eq!(manifest(&spec, None, &plan, &enclaveos()).app_source, None);
}

#[test]
fn without_an_http_port_the_first_port_says_when_the_app_is_ready() {
    let mut spec = spec("run: /a\nports: 9000, 8080\nhttp_port: 9000\n");
    spec.network.http = None;
    let plan = boot_plan(&spec, &image()).unwrap();
    assert_eq!(plan.readiness, Readiness::Tcp { port: port(8080), timeout_s: 60 });
}

#[test]
fn working_directories_become_absolute() {
    for (given, expected) in [
        ("", "/"),
        ("/", "/"),
        ("app", "/app"),
        ("/a//b/./c/", "/a/b/c"),
        ("/a/../b", "/b"),
        ("../../etc", "/etc"),
    ] {
        let image = ImageProcess { working_dir: given.to_owned(), ..image() };
        assert_eq!(boot_plan(&AppSpec::default(), &image).unwrap().app.cwd, expected, "{given}");
    }
}

#[test]
fn of_a_repeated_image_variable_the_last_counts() {
    let image = ImageProcess { env: texts(&["A=1", "A=2=3", "B="]), ..image() };
    let env = boot_plan(&AppSpec::default(), &image).unwrap().app.env;
    assert_eq!((env["A"].as_str(), env["B"].as_str()), ("2=3", ""));
}

#[test]
fn a_plan_reads_back_from_its_bytes() {
    let plan = boot_plan(&spec("run: A='é\" \\' /a 'b c'\nports: 80-90\nhttp_port: 81\n"), &image()).unwrap();
    assert_eq!(BootPlan::from_bytes(&plan.to_bytes()).unwrap(), plan);
}

#[test]
fn each_refusal() {
    let default = AppSpec::default();
    let refused = |spec: &AppSpec, image: &ImageProcess| boot_plan(spec, image).unwrap_err();
    let with_env = |entry: &str| ImageProcess { env: texts(&[entry]), ..image() };
    let with_entry = |entry: &str| ImageProcess { entrypoint: texts(&[entry]), ..image() };

    let nothing = ImageProcess { entrypoint: vec![], cmd: vec![], ..image() };
    let error = refused(&default, &nothing);
    assert!(
        matches!(error, PlanError::NoCommand) && error.fix().is_some_and(|fix| fix.contains("add `run:`"))
    );
    assert!(matches!(refused(&default, &with_entry("")), PlanError::EmptyProgram));
    assert!(matches!(refused(&default, &with_entry("a\0b")), PlanError::Inconsistent(_)));
    for entry in ["NOVALUE", "=x", ""] {
        assert!(matches!(refused(&default, &with_env(entry)), PlanError::MalformedImageEnv(_)), "{entry}");
    }
    assert!(matches!(refused(&default, &with_env("A=\0")), PlanError::Inconsistent(_)));
    let big = format!("A={}", "x".repeat(MAX_BYTES));
    assert!(matches!(refused(&default, &with_env(&big)), PlanError::TooLong(_)));
    let long = with_entry(&"\u{1}".repeat(MAX_COMMAND_BYTES / 6));
    assert!(matches!(refused(&default, &long), PlanError::CommandTooLong(_)));
}

#[test]
fn what_a_plan_cannot_say_is_refused_not_dropped() {
    let refused = |spec: &AppSpec| match boot_plan(spec, &image()).unwrap_err() {
        PlanError::NotSupportedYet(what) => what,
        other => panic!("{other}"),
    };
    let mut tls = spec("ports: 8443\n");
    tls.network.http.as_mut().unwrap().e2e = Some(EndToEnd::Tls);
    assert_eq!(refused(&tls), "end-to-end encryption by TLS");
    assert_eq!(refused(&spec("locksmith: true\n")), "secrets (locksmith)");
    let mut vault = AppSpec::default();
    vault.env.insert("A".to_owned(), EnvValue::Vault("A".to_owned()));
    assert_eq!(refused(&vault), "a secret (env::vault)");
}

/// An app with all that `e2e_encryption` can say, and a raw port.
const ENCRYPTED: &str = r#"enclave "a" {
  network {
    ingress {
      cidr_ipv4  = "0.0.0.0/0"
      start_port = 3000
      end_port   = 3001
    }
    http {
      port              = 3000
      upstream_protocol = "h2c"
      e2e_encryption {
        mode                     = "steve"
        cors_origins             = ["https://b.example", "https://a.example"]
        key_exchange             = "xwing-draft10"
        allow_plaintext_fallback = true
        steve_v2                 = true
      }
    }
  }
}
"#;

#[test]
fn encryption_is_measured_and_nothing_leads_past_it() {
    let open = boot_plan(&spec("ports: 8083\n"), &image()).unwrap();
    assert!(!String::from_utf8_lossy(&open.to_bytes()).contains("e2e"));
    assert_eq!(channel_in_words(&open).unwrap(), TLS_ENDS_OUTSIDE);
    assert_eq!(channel_in_words(&boot_plan(&AppSpec::default(), &image()).unwrap()), None);

    let spec = spec("e2e: true\n");
    let plan = boot_plan(&spec, &image()).unwrap();
    assert_eq!((plan.ports.as_slice(), plan.http_port), (&[][..], None));
    assert_eq!(plan.readiness, Readiness::Tcp { port: port(8083), timeout_s: 60 });
    let e2e = plan.e2e.as_ref().unwrap();
    assert_eq!((e2e.suite, e2e.app_port, e2e.app_protocol), (Suite::X25519, port(8083), AppProtocol::Http));
    assert!(e2e.origins.is_empty() && !e2e.plaintext_fallback && !e2e.steve_v2);
    assert_eq!(
        channel_in_words(&plan).unwrap(),
        "encrypted into the enclave by STEVE (x25519); requests without it are refused"
    );
    assert_eq!(BootPlan::from_bytes(&plan.to_bytes()).unwrap(), plan);
    assert_ne!(plan.digest(), open.digest());
}

#[test]
fn all_that_is_said_of_encryption_is_in_plan_and_manifest() {
    let spec = parse(ConfigFile::Hcl, ENCRYPTED).unwrap().spec;
    let plan = boot_plan(&spec, &image()).unwrap();
    let e2e = plan.e2e.clone().unwrap();
    assert_eq!((plan.ports.as_slice(), plan.http_port, e2e.app_port), (&[port(3001)][..], None, port(3000)));
    assert_eq!((e2e.suite, e2e.app_protocol), (Suite::Xwing, AppProtocol::H2c));
    assert!(e2e.plaintext_fallback && e2e.steve_v2);
    let origins: Vec<&str> = e2e.origins.iter().map(Origin::as_str).collect();
    assert_eq!(origins, ["https://a.example", "https://b.example"]);
    assert_eq!(
        channel_in_words(&plan).unwrap(),
        "encrypted into the enclave by STEVE (xwing, clients of version 2 too); requests without it reach the app, too, \
         and the host can read those; port 3001 is raw, STEVE does not encrypt there"
    );
    let honest = manifest(&spec, Some(&source()), &plan, &enclaveos());
    assert_eq!((&honest.ports, honest.http_port, &honest.e2e), (&vec![3001], None, &plan.e2e));
    assert_eq!(Manifest::from_bytes(&honest.to_bytes()).unwrap(), honest);

    let expected = Expected { commit: COMMIT, spec: &spec, enclaveos: &enclaveos(), plan: None };
    assert_eq!(disagreements(&expected, &honest), []);
    let lies: [fn(&mut Manifest); 7] = [
        |m| m.e2e = None,
        |m| m.e2e.as_mut().unwrap().suite = Suite::X25519,
        |m| m.e2e.as_mut().unwrap().app_port = port(3002),
        |m| m.e2e.as_mut().unwrap().app_protocol = AppProtocol::Http,
        |m| m.e2e.as_mut().unwrap().origins.clear(),
        |m| m.e2e.as_mut().unwrap().plaintext_fallback = false,
        |m| m.e2e.as_mut().unwrap().steve_v2 = false,
    ];
    for lie in lies {
        let mut remote = honest.clone();
        lie(&mut remote);
        let found = disagreements(&expected, &remote);
        assert_eq!(found.iter().map(|d| d.field).collect::<Vec<_>>(), ["e2e"]);
        assert_ne!(found[0].reviewed, found[0].remote, "the difference can be seen");
    }
}

#[test]
fn egress_is_in_the_plan_in_one_order_and_absent_without_rules() {
    let rules = "egress {\n cidr_ipv4 = \"203.0.113.0/24\"\n port = 443\n ip_protocol = \"tcp\"\n }\n \
        egress {\n cidr_ipv4 = \"10.1.0.0/16\"\n }\n";
    let text = format!("enclave \"a\" {{\n network {{\n {rules} }}\n }}\n");
    let plan = boot_plan(&parse(ConfigFile::Hcl, &text).unwrap().spec, &image()).unwrap();
    let said: Vec<String> = plan.egress.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["10.1.0.0/16 tcp and udp, all ports", "203.0.113.0/24 tcp 443"]);
    let bytes = plan.to_bytes();
    assert!(String::from_utf8_lossy(&bytes).contains("\"network\": \"10.1.0.0/16\","));
    assert_eq!(BootPlan::from_bytes(&bytes).unwrap(), plan);

    let without = boot_plan(&AppSpec::default(), &image()).unwrap().to_bytes();
    assert!(!String::from_utf8_lossy(&without).contains("egress"));
}

#[test]
fn egress_that_no_plan_can_have_is_refused() {
    let rule = |network: &str, ports| EgressRule {
        network: network.parse().unwrap(),
        ports,
        protocol: Protocol::Any,
    };
    let all = EgressRule::ALL_PORTS;
    let (one, two) = (rule("203.0.113.0/24", all), rule("203.0.114.0/24", all));
    let refused = |egress: &[EgressRule], ports: &[u16]| {
        let mut plan = boot_plan(&AppSpec::default(), &image()).unwrap();
        plan.egress = egress.to_vec();
        plan.ports = ports.iter().map(|port| AppPort::try_from(*port).unwrap()).collect();
        BootPlan::from_bytes(&plan.to_bytes()).is_err()
    };
    assert!(!refused(&[one, two], &[54]));
    assert!(refused(&[two, one], &[]) && refused(&[one, one], &[]), "order");
    assert!(refused(&[one], &[53]), "the resolver's port");
    assert!(refused(&[rule("127.0.0.1/32", all)], &[]) && refused(&[rule("203.0.113.0/24", (2, 1))], &[]));
    let many: Vec<EgressRule> = (1..=257).map(|port| rule("203.0.113.0/24", (port, port))).collect();
    assert!(!refused(&many[..256], &[]) && refused(&many, &[]));
}

#[test]
fn logs_leave_only_where_the_config_says_so() {
    for (text, logs) in [("", false), ("logs: false\n", false), ("logs: true\n", true)] {
        let spec = spec(text);
        let plan = boot_plan(&spec, &image()).unwrap();
        let manifest = manifest(&spec, None, &plan, &enclaveos());
        assert_eq!((plan.logs, manifest.logs), (logs, logs));
        assert_eq!(Manifest::from_bytes(&manifest.to_bytes()).unwrap(), manifest);
    }
}

const APP: &str = "run: /app/server --flag\nports: 8080, 9000\nhttp_port: 8080\nmetadata: for people\n\
    app_sources: https://git.example.com/a.git, https://git.example.com/${COMMIT}.tar.gz\n\
    enclave_sources: https://git.example.com/e.git\n";

#[test]
fn the_manifest_says_what_the_plan_and_the_spec_say() {
    let spec = spec(APP);
    let plan = boot_plan(&spec, &image()).unwrap();
    let manifest = manifest(&spec, Some(&source()), &plan, &enclaveos());
    assert_eq!(
        manifest,
        Manifest {
            version: "2".to_owned(),
            app_source: Some(AppSource {
                urls: vec![
                    "https://git.example.com/a.git".to_owned(),
                    format!("https://git.example.com/{COMMIT}.tar.gz"),
                ],
                commit: COMMIT.to_owned(),
                branch: Some("main".to_owned()),
            }),
            enclave_source: texts(&["https://git.example.com/e.git"]),
            run_command: texts(&["/app/server", "--flag"]),
            ports: vec![8080, 9000],
            http_port: Some(8080),
            e2e: None,
            logs: false,
            boot_plan_sha256: plan.digest(),
            enclaveos: enclaveos(),
            metadata: Some("for people".to_owned()),
        }
    );
    assert_eq!(Manifest::from_bytes(&manifest.to_bytes()).unwrap(), manifest);
}

#[test]
fn the_longest_manifest_fits() {
    let urls = |name: &str| {
        let url =
            |n: usize| format!("https://h/{n:02}{}", "u".repeat(caution_appspec::MAX_SOURCE_BYTES - 12));
        let list = (0..caution_appspec::MAX_SOURCES).map(url).collect::<Vec<_>>().join(",");
        format!("{name}: {list}\n")
    };
    let metadata = "\"".repeat(caution_appspec::MAX_METADATA_BYTES);
    let text = format!(
        "{}{}metadata: {metadata}\nports: 40000-40511\nhttp_port: 40000\n",
        urls("app_sources"),
        urls("enclave_sources")
    );
    let mut spec = spec(&text);
    assert_eq!(spec.network.ports.len(), caution_appspec::MAX_PORTS);
    let origin = |n: usize| {
        Origin::try_from(format!("https://{n:061}{}:65535", format!(".{}", "o".repeat(63)).repeat(3)))
    };
    let cors_origins = (0..caution_abi::e2e::MAX_ORIGINS).map(|n| origin(n).unwrap()).collect();
    let steve = Steve { cors_origins, ..Steve::default() };
    spec.network.http.as_mut().unwrap().e2e = Some(EndToEnd::Steve(steve));
    spec.command = Some(Command::Argv(vec!["\u{1}".repeat((MAX_COMMAND_BYTES - 8) / 6)]));
    let plan = boot_plan(&spec, &image()).unwrap();
    let source = SourceIdentity { commit: "0".repeat(64), branch: Some("b".repeat(255)) };
    let bytes = manifest(&spec, Some(&source), &plan, &enclaveos()).to_bytes();
    assert!(bytes.len() <= manifest::MAX_BYTES, "{}", bytes.len());
    assert!(Manifest::from_bytes(&bytes).is_ok());
}

/// The fields that disagree once `change` was made to an honest manifest.
fn fields(with_plan: bool, change: impl FnOnce(&mut Manifest)) -> Vec<&'static str> {
    let spec = spec(APP);
    let plan = boot_plan(&spec, &image()).unwrap();
    let mut remote = manifest(&spec, Some(&source()), &plan, &enclaveos());
    change(&mut remote);
    let plan = with_plan.then_some(&plan);
    let expected = Expected { commit: COMMIT, spec: &spec, enclaveos: &enclaveos(), plan };
    disagreements(&expected, &remote).into_iter().map(|d| d.field).collect()
}

#[test]
fn an_honest_manifest_agrees_and_taste_is_no_claim() {
    for with_plan in [false, true] {
        assert_eq!(fields(with_plan, |_| {}), [""; 0]);
        let taste = fields(with_plan, |m| {
            let source = m.app_source.as_mut().unwrap();
            source.branch = Some("release".to_owned());
            source.urls.reverse();
            m.enclaveos.version = "0.1.0-rc1".to_owned();
        });
        assert_eq!(taste, [""; 0]);
    }
}

#[test]
fn every_claim_is_compared() {
    type Lie = (&'static str, fn(&mut Manifest));
    let lies: [Lie; 12] = [
        ("app_source.commit", |m| m.app_source.as_mut().unwrap().commit = "0".repeat(40)),
        ("app_source.urls", |m| {
            m.app_source.as_mut().unwrap().urls.push("https://evil.example/a".to_owned());
        }),
        ("app_source.urls", |m| m.app_source.as_mut().unwrap().urls.truncate(1)),
        ("enclave_source", |m| m.enclave_source.clear()),
        ("run_command", |m| m.run_command = texts(&["/app/server --flag"])),
        ("ports", |m| m.ports.push(9001)),
        ("http_port", |m| m.http_port = Some(9000)),
        ("http_port", |m| m.http_port = None),
        ("logs", |m| m.logs = true),
        ("enclaveos.pcr1", |m| m.enclaveos.pcr1 = Pcr::new([8; 48])),
        ("metadata", |m| m.metadata = None),
        ("metadata", |m| m.metadata = Some("for machines".to_owned())),
    ];
    for with_plan in [false, true] {
        for (field, lie) in lies {
            assert_eq!(fields(with_plan, lie), [field]);
        }
    }
    assert_eq!(fields(true, |m| m.boot_plan_sha256 = Sha256Digest::of(b"")), ["boot_plan_sha256"]);
    assert_eq!(fields(false, |m| m.boot_plan_sha256 = Sha256Digest::of(b"")), [""; 0]);
    assert_eq!(fields(true, |m| m.app_source = None), ["app_source.commit", "app_source.urls"]);
}

#[test]
fn a_command_from_the_image_is_compared_once_the_image_is_known() {
    let spec = spec("ports: 8080\n");
    let plan = boot_plan(&spec, &image()).unwrap();
    let mut remote = manifest(&spec, Some(&source()), &plan, &enclaveos());
    remote.run_command = texts(&["/bin/sh", "-c", "evil"]);
    let before = Expected { commit: COMMIT, spec: &spec, enclaveos: &enclaveos(), plan: None };
    assert_eq!(disagreements(&before, &remote), []);
    let after = Expected { plan: Some(&plan), ..before };
    assert_eq!(
        disagreements(&after, &remote),
        [Disagreement {
            field: "run_command",
            reviewed: "/app/entry --default".to_owned(),
            remote: "/bin/sh -c evil".to_owned(),
        }]
    );
}

#[test]
fn a_remote_text_cannot_steer_the_terminal() {
    let spec = spec(APP);
    let plan = boot_plan(&spec, &image()).unwrap();
    let mut remote = manifest(&spec, Some(&source()), &plan, &enclaveos());
    remote.metadata = Some("\u{1b}[2Jfor\u{202e}people\n".to_owned());
    let expected = Expected { commit: COMMIT, spec: &spec, enclaveos: &enclaveos(), plan: Some(&plan) };
    let found = disagreements(&expected, &remote);
    assert_eq!(found[0].remote, "\\u{1b}[2Jfor\\u{202e}people\\u{a}");
    assert_eq!(found[0].reviewed, "for people");
}
