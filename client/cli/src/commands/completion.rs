//! `caution completion`: what a shell completes after `caution`, as a script of that shell.

use crate::{Cli, Context};
use clap::CommandFactory as _;

/// Arguments of `caution completion`.
#[derive(Debug, clap::Args)]
#[command(after_help = INSTALL)]
pub(crate) struct Args {
    /// The shell that is to complete.
    shell: Shell,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

pub(crate) fn run(context: &Context, args: &Args) {
    let script = script(args.shell);
    if context.terminal.json {
        context.terminal.json_result(&serde_json::json!({ "script": script }));
    } else {
        context.terminal.result(&script);
    }
}

fn script(shell: Shell) -> String {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "caution", &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

const INSTALL: &str = "\
For this user, from the next shell on:
  bash  caution completion bash > ~/.local/share/bash-completion/completions/caution
  zsh   caution completion zsh > ~/.zfunc/_caution      (with ~/.zfunc in fpath)
  fish  caution completion fish > ~/.config/fish/completions/caution.fish";

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    #[test]
    fn every_shell_is_told_of_words_of_all_depths() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = script(shell);
            for word in ["doctor", "download-eif", "--attestation-url"] {
                assert!(script.contains(word.trim_start_matches("--")), "{shell:?}: {word}");
            }
        }
    }

    #[test]
    fn bash_completes_a_word_below_apps() {
        let asked = r#"
            COMP_WORDS=(caution apps rol) COMP_CWORD=2
            _caution caution rol apps
            printf '%s\n' "${COMPREPLY[@]}"
        "#;
        let mut bash = Command::new("bash")
            .args(["--noprofile", "--norc", "-s"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let text = format!("{}\n{asked}", script(Shell::Bash));
        bash.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = bash.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "rollback\n");
    }
}
