//! Runs `specs/vectors/appspec`; the format is described in `specs/appspec.md` §10.

use crate::common;

use caution_appspec::{Config, ConfigFile, Problem, parse, to_hcl};
use toml::Table;

/// One case of a vector file.
struct Case {
    name: String,
    file: ConfigFile,
    text: String,
    expect: Table,
}

fn cases() -> Vec<Case> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../specs/vectors/appspec");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut cases = Vec::new();
    for path in paths {
        let table: Table = std::fs::read_to_string(&path).unwrap().parse().unwrap();
        for case in table["case"].as_array().unwrap() {
            let field = |key: &str| case[key].as_str().unwrap().to_owned();
            let file = match field("file").as_str() {
                "Procfile" => ConfigFile::Procfile,
                "caution.hcl" => ConfigFile::Hcl,
                other => panic!("unknown kind of file {other}"),
            };
            let name = format!("{}: {}", path.file_name().unwrap().to_string_lossy(), field("name"));
            cases.push(Case {
                name,
                file,
                text: field("text"),
                expect: case["expect"].as_table().unwrap().clone(),
            });
        }
    }
    assert!(cases.len() > 100, "the vectors are missing");
    cases
}

/// `line:column message`, then the fix after an arrow.
fn described(problems: &[Problem]) -> Vec<String> {
    let fix = |p: &Problem| p.fix.as_ref().map_or_else(String::new, |fix| format!(" -> {fix}"));
    problems.iter().map(|p| format!("{}:{} {}{}", p.line, p.column, p.message, fix(p))).collect()
}

fn strings(expect: &Table, key: &str) -> Vec<String> {
    let list = expect.get(key).map(|value| value.as_array().unwrap().clone()).unwrap_or_default();
    list.iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_vector_gives_what_it_says() {
    for case in cases() {
        match parse(case.file, &case.text) {
            Ok(Config { spec, not_supported_yet }) => {
                assert!(!case.expect.contains_key("problems"), "{}: parsed", case.name);
                let wanted = case.expect["spec"].as_table().unwrap();
                assert_eq!(&common::as_table(&spec), wanted, "{}", case.name);
                let wanted = strings(&case.expect, "not_supported_yet");
                assert_eq!(described(&not_supported_yet), wanted, "{}", case.name);
            }
            Err(errors) => {
                let problems = described(&errors.problems);
                assert_eq!(problems, strings(&case.expect, "problems"), "{}", case.name);
            }
        }
    }
}

#[test]
fn every_good_vector_means_the_same_as_hcl() {
    for case in cases() {
        let Ok(Config { spec, .. }) = parse(case.file, &case.text) else { continue };
        let hcl = to_hcl(&spec);
        let again =
            parse(ConfigFile::Hcl, &hcl).unwrap_or_else(|errors| panic!("{}: {errors}\n{hcl}", case.name));
        assert_eq!(common::without_rules(&again.spec, &spec), spec, "{}\n{hcl}", case.name);
        assert_eq!(to_hcl(&again.spec), hcl, "{}: writing is stable", case.name);
    }
}
