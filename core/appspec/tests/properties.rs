//! What holds for every text and every spec, not only for the vectors.

use crate::common;

use caution_abi::e2e::{Origin, Suite};
use caution_abi::ports::AppPort;
use caution_appspec::*;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option::of;
use proptest::prelude::*;

fn word() -> impl Strategy<Value = String> {
    "[^\\x00]{1,12}"
}

fn port() -> impl Strategy<Value = AppPort> {
    (1u16..49_500).prop_map(|n| AppPort::try_from(n).unwrap())
}

fn command() -> impl Strategy<Value = Command> {
    let shell = "[a-z$\"'{} ]{0,8}".prop_map(|rest| Command::Shell(format!("a | {rest}").trim().to_owned()));
    prop_oneof![vec(word(), 1..5).prop_map(Command::Argv), shell]
}

fn url() -> impl Strategy<Value = String> {
    "https://h/[a-z%$=?&#~-]{1,9}(\\$\\{COMMIT\\})?"
        .prop_filter("a dollar only begins a placeholder", |url| !url.replace("${COMMIT}", "").contains('$'))
}

fn build() -> impl Strategy<Value = Build> {
    (of("[a-zA-Z0-9]{1,8}(/[a-z.]{0,3}[a-z])?"), vec(url(), 0..3), vec(url(), 0..3), any::<bool>()).prop_map(
        |(containerfile, app_sources, enclave_sources, no_cache)| Build {
            containerfile,
            app_sources,
            enclave_sources,
            no_cache,
            ..Build::default()
        },
    )
}

fn steve() -> impl Strategy<Value = Steve> {
    let origin =
        "https://[a-z]{1,5}(\\.[a-z]{2})?(:8[0-9]{3})?".prop_map(|text| Origin::try_from(text).unwrap());
    (btree_set(origin, 0..3), any::<(bool, bool, bool)>()).prop_map(
        |(cors_origins, (xwing, allow_plaintext_fallback, steve_v2))| Steve {
            cors_origins,
            key_exchange: if xwing { Suite::Xwing } else { Suite::X25519 },
            allow_plaintext_fallback,
            steve_v2,
        },
    )
}

fn network() -> impl Strategy<Value = Network> {
    let domain = of("[a-z]{1,5}\\.[a-z]{2}");
    (btree_set(port(), 0..6), any::<prop::sample::Index>(), of(steve()), domain).prop_map(
        |(mut ports, index, steve, domain)| {
            if steve.is_some() {
                ports.retain(|port| port.get() != 8080);
            }
            let port = (!ports.is_empty()).then(|| *index.get(&ports.iter().copied().collect::<Vec<_>>()));
            let e2e = steve.map(EndToEnd::Steve);
            let http = port.map(|port| Http { port, domain, upstream: Upstream::Http, e2e });
            Network { ports, http, ..Network::default() }
        },
    )
}

fn spec() -> impl Strategy<Value = AppSpec> {
    let env = btree_map("[A-Z_]{1,4}", prop_oneof!["[^\\x00]{0,9}", "[$%{}\"\\\\]{0,6}"], 0..4);
    (
        build(),
        of(command()),
        env,
        (1u32..=64, 64u32..=1_048_576),
        network(),
        any::<(bool, bool)>(),
        of("[ -~\\n\\t]{0,20}"),
    )
        .prop_map(|(build, command, env, (cpus, memory_mib), network, (debug, logs), metadata)| {
            AppSpec {
                build,
                command,
                env: env.into_iter().map(|(name, text)| (name, EnvValue::Literal(text))).collect(),
                resources: Resources { cpus, memory_mib },
                network,
                debug: Debug { enabled: debug, ssh_keys: Vec::new() },
                logs,
                metadata,
                ..AppSpec::default()
            }
        })
}

proptest! {
    #[test]
    fn a_spec_written_as_hcl_reads_back(spec in spec()) {
        prop_assume!(!matches!(&spec.command, Some(Command::Argv(argv)) if argv[0].is_empty()));
        let hcl = to_hcl(&spec);
        let again = parse(ConfigFile::Hcl, &hcl);
        prop_assert!(again.is_ok(), "{}\n{hcl}", again.unwrap_err());
        prop_assert_eq!(common::without_rules(&again.unwrap().spec, &spec), spec, "{}", hcl);
    }

    #[test]
    fn a_procfile_written_as_hcl_means_the_same(
        run in "[a-zA-Z0-9=_ '\"$|/.#-]{1,24}",
        ports in vec(1u16..49_500, 1..4),
        memory in 64u32..9000,
        metadata in "[!-~]([ -~]{0,18}[!-~])?",
    ) {
        let list = ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let text = format!("run: {run}\nports: {list}\nhttp_port: {}\nmemory: {memory}\nmetadata: {metadata}\n", ports[0]);
        if let Ok(config) = parse(ConfigFile::Procfile, &text) {
            let hcl = to_hcl(&config.spec);
            let again = parse(ConfigFile::Hcl, &hcl).unwrap_or_else(|errors| panic!("{errors}\n{hcl}"));
            prop_assert_eq!(common::without_rules(&again.spec, &config.spec), config.spec);
        }
    }

    #[test]
    fn any_text_is_read_or_refused_in_place(text in "(\\PC|[\\x00-\\x20\"'{}=:$#,\\[\\]<>-]){0,200}") {
        for file in ConfigFile::BY_PRECEDENCE {
            if let Err(errors) = parse(file, &text) {
                let lines: Vec<&str> = text.split('\n').collect();
                prop_assert!(!errors.problems.is_empty());
                for problem in &errors.problems {
                    let line = lines[problem.line as usize - 1];
                    prop_assert!(problem.column as usize <= line.chars().count() + 1);
                    prop_assert!(!problem.to_string().contains(|c: char| c.is_control() && c != '\n'));
                }
            }
        }
    }

    #[test]
    fn broken_hcl_is_read_or_refused(at in 0usize..2000, junk in "[\\PC\n\"{}=\\[\\]$<%]{0,6}", cut in 0usize..12) {
        let good = include_str!("../../../specs/vectors/appspec/hcl.toml");
        let mut text: Vec<char> = good.chars().filter(|c| *c != '\'').collect();
        let at = at.min(text.len());
        let end = (at + cut).min(text.len());
        text.splice(at..end, junk.chars());
        let _ = parse(ConfigFile::Hcl, &text.into_iter().collect::<String>());
    }
}

#[test]
fn the_template_is_a_config_that_this_version_runs() {
    let config = parse(ConfigFile::Hcl, template()).unwrap();
    let spec = config.into_supported(ConfigFile::Hcl).unwrap();
    assert_eq!(spec.resources, Resources { cpus: 2, memory_mib: 512 });
    assert_eq!(spec.network.ports.iter().map(|port| port.get()).collect::<Vec<_>>(), [8080]);
    assert!(!spec.debug.enabled && spec.network.http.is_none());
}

#[test]
fn the_commented_parts_of_the_template_are_right_too() {
    // "# key" is a commented line; "# Sentence" is prose.
    let uncommented: String = template()
        .lines()
        .map(|line| {
            let code = line
                .trim_start()
                .strip_prefix("# ")
                .filter(|code| code.starts_with(|c: char| !c.is_ascii_uppercase()));
            let code = code.filter(|code| code.contains(['{', '}', '=']));
            format!("{}\n", code.unwrap_or(line))
        })
        .collect();
    let spec =
        parse(ConfigFile::Hcl, &uncommented).unwrap_or_else(|errors| panic!("{errors}\n{uncommented}")).spec;
    assert!(spec.debug.enabled && spec.network.http.is_some() && spec.build != Build::default());
    assert!(matches!(spec.command, Some(Command::Argv(argv)) if argv.len() == 3));
}

#[test]
fn what_is_not_supported_yet_is_an_error_for_whoever_acts() {
    let config = parse(ConfigFile::Procfile, "ports: 8083\nlocksmith: true\n").unwrap();
    let errors = config.into_supported(ConfigFile::Procfile).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "Procfile has 1 problem.\n\n  Procfile:2:1 `locksmith` is understood but not supported yet.\n               fix: \
         remove it, or write `locksmith: false`\n"
    );
}

#[test]
fn errors_read_as_the_design_shows() {
    let errors =
        parse(ConfigFile::Procfile, "a\n\nport: 1\nports: 8232, 8233\nhttp_port: 9000\n").unwrap_err();
    assert_eq!(
        errors.to_string(),
        "Procfile has 3 problems.\n\
         \n\
         \x20 Procfile:1:1  `a` is not a `key: value` line.\n\
         \x20               fix: write `key: value`, or begin a comment with #\n\
         \x20 Procfile:3:1  `port` is not a key.  did you mean `ports`?\n\
         \x20 Procfile:5:12 `http_port: 9000` is not one of the ports 8232, 8233.\n\
         \x20               fix: add 9000 to `ports`, or choose one of them\n"
    );
    assert_eq!(errors.problems[1].to_string(), "3:1 `port` is not a key.  did you mean `ports`?");
}

#[test]
fn files_that_are_too_long_or_hold_nul_are_refused() {
    for file in ConfigFile::BY_PRECEDENCE {
        let long = parse(file, &"#".repeat(MAX_BYTES + 1)).unwrap_err();
        assert_eq!(long.problems[0].message, "The file has 262145 bytes (at most 262144).");
        let nul = parse(file, "# a\n# \0\n").unwrap_err();
        assert_eq!((nul.problems[0].line, nul.problems[0].column), (2, 3));
        assert_eq!(nul.problems[0].message, "The file holds a NUL character.");
    }
}

#[test]
fn problems_are_bounded_and_the_last_one_says_so() {
    let errors = parse(ConfigFile::Procfile, &"x\n".repeat(1000)).unwrap_err();
    assert_eq!(errors.problems.len(), MAX_PROBLEMS);
    assert_eq!(errors.problems[MAX_PROBLEMS - 1].message, "There are more problems than are listed here.");
}

#[test]
fn lists_of_too_many_items_are_refused_not_cut() {
    let errors = parse(ConfigFile::Procfile, &format!("ports: {}9000\n", "8080, ".repeat(1024))).unwrap_err();
    assert_eq!(errors.problems.len(), 1);
    assert_eq!(errors.problems[0].message, "`ports` lists 1025 items (at most 1024).");
}

#[test]
fn deep_nesting_is_refused_within_a_small_stack() {
    for (open, close) in [("[", "]"), ("(", ")"), ("{ a = ", "}"), ("\"${", "}\"")] {
        for depth in [60, 100_000 / open.len()] {
            let value = format!("a = {}1{}\n", open.repeat(depth), close.repeat(depth));
            let errors = parse(ConfigFile::Hcl, &value).unwrap_err();
            assert!(!errors.problems.is_empty());
        }
    }
    let errors = parse(ConfigFile::Hcl, &"a {\n".repeat(60_000)).unwrap_err();
    assert!(errors.problems[0].message.contains("at most 64 nested levels"), "{errors}");
}

#[test]
fn repeated_attributes_are_listed_up_to_a_limit() {
    let twice = |count: usize| format!("enclave \"a\" {{\n{}}}\n", "metadata = \"m\"\n".repeat(count));
    let errors = parse(ConfigFile::Hcl, &twice(6)).unwrap_err();
    assert_eq!(errors.problems.len(), 5);
    assert!(errors.problems.iter().all(|p| p.message == "`metadata` is given twice in the same block."));
    let errors = parse(ConfigFile::Hcl, &twice(60)).unwrap_err();
    assert_eq!(errors.problems.len(), 21);
}

#[test]
fn hcl_with_too_many_values_is_refused() {
    let text =
        format!("enclave \"a\" {{\n  unit \"a\" {{\n    env = {{\n{}}}\n}}\n}}\n", "a=1,".repeat(9000));
    let errors = parse(ConfigFile::Hcl, &text).unwrap_err();
    assert_eq!(errors.problems[0].message, "The file sets more than 8192 values.");
}

#[test]
fn values_in_messages_cannot_steer_a_terminal() {
    let errors = parse(ConfigFile::Procfile, "ports: \u{202e}8080\u{200b}\n").unwrap_err();
    assert!(errors.to_string().contains("`\\u{202e}8080\\u{200b}`"), "{errors}");
    let errors = parse(ConfigFile::Procfile, "ports: 80\u{61c}80\u{ad}\u{e0041}\u{fff9}\n").unwrap_err();
    assert!(errors.to_string().contains("`80\\u{61c}80\\u{ad}\\u{e0041}\\u{fff9}`"), "{errors}");
}

#[test]
fn metadata_and_sources_have_limits() {
    let long = parse(ConfigFile::Procfile, &format!("metadata: {}\n", "m".repeat(MAX_METADATA_BYTES + 1)));
    assert!(long.unwrap_err().to_string().contains("has 2049 bytes (at most 2048)"));
    let url = format!("app_sources: https://h/{}\n", "${COMMIT}".repeat(16));
    assert!(
        parse(ConfigFile::Procfile, &url).unwrap_err().to_string().contains("has 1034 bytes (at most 1024)")
    );
}
