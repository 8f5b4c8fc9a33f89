//! What the page about encryption shows is read as it stands.

use caution_abi::e2e::Suite;
use caution_appspec::{AppSpec, ConfigFile, EndToEnd, parse};

const PAGE: &str = include_str!("../../../docs/src/end-to-end-encryption.md");

fn read(file: ConfigFile, text: &str) -> AppSpec {
    let spec = parse(file, text).and_then(|config| config.into_supported(file));
    spec.unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

#[test]
fn the_files_of_the_page_about_encryption_are_whole_and_switch_it_on() {
    let (_, hcl) = PAGE.split_once("```hcl\n").unwrap();
    let hcl = read(ConfigFile::Hcl, hcl.split_once("```").unwrap().0);
    let Some(EndToEnd::Steve(steve)) = hcl.network.http.unwrap().e2e else { panic!("it is off") };
    assert_eq!((steve.key_exchange, steve.cors_origins.len()), (Suite::Xwing, 1));

    let lines = PAGE.lines().skip_while(|line| !line.starts_with("    run: "));
    let procfile: String =
        lines.map_while(|line| line.strip_prefix("    ")).map(|line| format!("{line}\n")).collect();
    let procfile = read(ConfigFile::Procfile, &procfile);
    assert!(matches!(procfile.network.http.unwrap().e2e, Some(EndToEnd::Steve(_))));
}
