//! `caution curl`: one request into an enclave.

use crate::Context;
use crate::enclave::{Trusting, block_on, failure, trust_line};
use crate::error::{CliError, Exit};
use caution_sdk::http::header::{ACCEPT, CONTENT_TYPE};
use caution_sdk::http::{HeaderName, HeaderValue, Method, Uri};
use caution_sdk::{Body, Client, Response};
use std::ffi::OsString;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Arguments of `caution curl`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to ask for: https://your-app.example.com/path
    url: String,

    /// The method; POST with --data, else GET.
    #[arg(short = 'X', long, value_name = "METHOD", value_parser = parse_method)]
    request: Option<Method>,

    /// The content, as it is; `@FILE` is that of a file, `@-` standard input, both sent as they are read.
    #[arg(short, long, value_name = "DATA")]
    data: Option<String>,

    /// The content as JSON: as --data, with the fields `content-type` and `accept` that say so, unless --header does.
    /// `--json '{…}'`, as curl has it, is the same: content begins with `{`, `[`, `"` or `@`, and --json alone asks for
    /// the result as JSON.
    #[arg(long, value_name = "JSON", conflicts_with = "data")]
    data_json: Option<String>,

    /// A field of the request.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = parse_field)]
    headers: Vec<(HeaderName, HeaderValue)>,

    /// Write the response to this file, once it is complete, instead of to stdout.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Write each piece of the response at once: for streams of events.
    #[arg(short = 'N', long)]
    no_buffer: bool,

    /// Exit 1 where the application answers with a status of 400 or more.
    #[arg(short, long)]
    fail: bool,

    /// Verify the enclave and make a session, and send nothing: says what was verified.
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    trusting: Trusting,
}

/// The command line with curl's `--json CONTENT` as `--data-json CONTENT`. `--json` is every command's own switch, too;
/// what follows it tells them apart, since no URL begins as JSON does.
pub(crate) fn with_curls_json(mut args: Vec<OsString>) -> Vec<OsString> {
    if !is_curl(&args) {
        return args;
    }
    let end = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
    for at in 1..end {
        let next = args[..end].get(at + 1).and_then(|next| next.to_str());
        let has_content = next.is_some_and(|next| next.starts_with(['{', '[', '"', '@']));
        let inline = args[at].to_str().and_then(|word| word.strip_prefix("--json="));
        if let Some(content) = inline {
            args[at] = format!("--data-json={content}").into();
        } else if args[at] == "--json" && has_content {
            args[at] = "--data-json".into();
        }
    }
    args
}

/// Whether the first word that is no option is `curl`.
fn is_curl(args: &[OsString]) -> bool {
    let mut words = args.iter().skip(1).map(|arg| arg.to_str().unwrap_or_default());
    while let Some(word) = words.next() {
        match word {
            "--workdir" => drop(words.next()),
            option if option.starts_with('-') => {}
            command => return command == "curl",
        }
    }
    false
}

fn parse_method(text: &str) -> Result<Method, String> {
    Method::from_bytes(text.as_bytes()).map_err(|_| "not a method".to_owned())
}

fn parse_field(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("expected NAME: VALUE")?;
    let name = name.trim().parse().map_err(|_| "its name is none".to_owned())?;
    let value =
        HeaderValue::from_bytes(value.trim().as_bytes()).map_err(|_| "its value is none".to_owned())?;
    Ok((name, value))
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<u8, CliError> {
    let (address, path) = split(&args.url)?;
    block_on(async {
        let client = args.trusting.connect(context, &address).await?;
        if args.dry_run {
            return dry_run(context, &client).await.map(|()| 0);
        }
        let receipt = client.receipt().await.map_err(|e| failure(&e))?;
        context.terminal.note(&trust_line(&receipt));
        let response = send(args, &client, &path).await?;
        let status = response.status();
        context.terminal.note(&format!("HTTP {status}"));
        write(context, args, response).await?;
        let refused = args.fail && (status.is_client_error() || status.is_server_error());
        Ok(u8::from(refused))
    })
}

/// `https://host:port` and the path with its query.
fn split(url: &str) -> Result<(String, String), CliError> {
    let wrong = || {
        CliError::new(Exit::Usage, "That is no URL of an application.")
            .hint("caution curl https://your-app.example.com/path")
    };
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(wrong()) };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok((format!("{scheme}://{authority}"), path))
}

async fn dry_run(context: &Context, client: &Client) -> Result<(), CliError> {
    let receipt = client.receipt().await.map_err(|e| failure(&e))?;
    let json = serde_json::to_value(&receipt).map_err(|e| CliError::from_error(Exit::Other, &e))?;
    if context.terminal.json {
        context.terminal.json_result(&json);
    } else {
        context.terminal.result(&format!("{}\n", trust_line(&receipt)));
        context.terminal.note("nothing was sent");
    }
    Ok(())
}

async fn send(args: &Args, client: &Client, path: &str) -> Result<Response, CliError> {
    let data = args.data.as_ref().or(args.data_json.as_ref());
    let with_data = if data.is_some() { Method::POST } else { Method::GET };
    let mut request = client.request(args.request.clone().unwrap_or(with_data), path);
    for (name, value) in &args.headers {
        request = request.header(name, value);
    }
    if args.data_json.is_some() {
        for field in [CONTENT_TYPE, ACCEPT] {
            if args.headers.iter().all(|(name, _)| *name != field) {
                request = request.header(field, "application/json");
            }
        }
    }
    if let Some(data) = data {
        request = match data.strip_prefix('@') {
            None => request.body(data.clone()),
            Some("-") => request.body(Body::reader(tokio::io::stdin())),
            Some(path) => {
                let (body, length) = file(Path::new(path)).await?;
                match length {
                    Some(length) => request.header("content-length", length).body(body),
                    None => request.body(body),
                }
            }
        };
    }
    request.send().await.map_err(|e| failure(&e))
}

/// A file's content, with its length where it is no pipe.
async fn file(path: &Path) -> Result<(Body, Option<u64>), CliError> {
    let io = |e: std::io::Error| CliError::io("The file cannot be read", path, &e);
    let file = tokio::fs::File::open(path).await.map_err(io)?;
    let metadata = file.metadata().await.map_err(io)?;
    Ok((Body::reader(file), metadata.is_file().then_some(metadata.len())))
}

async fn write(context: &Context, args: &Args, mut response: Response) -> Result<(), CliError> {
    if context.terminal.json {
        return write_json(context, response).await;
    }
    if let Some(path) = &args.output {
        let io = |e: std::io::Error| CliError::io("The response cannot be written", path, &e);
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = NamedTempFile::new_in(folder).map_err(io)?;
        copy(&mut response, &mut file, false).await?;
        return file.persist(path).map(drop).map_err(|e| io(e.error));
    }
    let mut out = BufWriter::with_capacity(BUFFER, std::io::stdout());
    copy(&mut response, &mut out, args.no_buffer).await
}

/// What authenticates is written. A reader that goes away (`caution curl … | head`) is no error.
async fn copy(response: &mut Response, to: &mut impl Write, at_once: bool) -> Result<(), CliError> {
    let written = |result: std::io::Result<()>| match result {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(CliError::from_error(Exit::Other, &e)),
    };
    loop {
        match response.chunk().await {
            Ok(Some(piece)) => {
                let flushed = to.write_all(&piece).and_then(|()| if at_once { to.flush() } else { Ok(()) });
                if !written(flushed)? {
                    return Ok(());
                }
            }
            Ok(None) => return written(to.flush()).map(drop),
            Err(error) => {
                written(to.flush())?;
                return Err(failure(&error));
            }
        }
    }
}

/// `{"status", "headers", "body", "receipt"}`.
async fn write_json(context: &Context, mut response: Response) -> Result<(), CliError> {
    let body = response.bytes(MAX_JSON).await.map_err(|e| failure(&e))?;
    let headers: Vec<_> = response
        .headers()
        .iter()
        .map(|(name, value)| {
            [name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()]
        })
        .collect();
    let mut json = serde_json::json!({
        "status": response.status().as_u16(),
        "headers": headers,
        "receipt": response.receipt(),
    });
    match std::str::from_utf8(&body) {
        Ok(text) => json["body"] = text.into(),
        Err(_) => json["body_base64"] = data_encoding::BASE64.encode(&body).into(),
    }
    context.terminal.json_result(&json);
    Ok(())
}

/// How much waits before it is written, in bytes.
const BUFFER: usize = 64 * 1024;
/// The longest response that `--json` takes, in bytes.
const MAX_JSON: usize = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_split_from_its_path() {
        let both = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(split("https://a.b").unwrap(), both("https://a.b", "/"));
        assert_eq!(split("https://a.b:8443/x?y=z").unwrap(), both("https://a.b:8443", "/x?y=z"));
        assert_eq!(split("https://a.b?y").unwrap(), both("https://a.b", "/?y"));
        for bad in ["a.b/x", "/x", "", "https:///x"] {
            assert_eq!(split(bad).unwrap_err().exit, Exit::Usage, "{bad}");
        }
    }

    #[test]
    fn json_is_content_where_content_follows_and_else_a_wish() {
        let said = |line: &str| {
            let args = with_curls_json(line.split(' ').map(OsString::from).collect());
            args.iter().map(|arg| arg.to_str().unwrap()).collect::<Vec<_>>().join(" ")
        };
        for (line, expected) in [
            ("c curl --json {} https://a", "c curl --data-json {} https://a"),
            ("c curl https://a --json @-", "c curl https://a --data-json @-"),
            ("c --json --workdir x curl --json=1", "c --json --workdir x curl --data-json=1"),
            ("c curl --json --json [] https://a", "c curl --json --data-json [] https://a"),
            ("c curl --json https://a", "c curl --json https://a"),
            ("c curl https://a --json", "c curl https://a --json"),
            ("c curl -- --json {}", "c curl -- --json {}"),
            ("c --workdir curl verify --json {}", "c --workdir curl verify --json {}"),
        ] {
            assert_eq!(said(line), expected);
        }
    }

    #[test]
    fn fields_are_read_as_curl_reads_them() {
        let (name, value) = parse_field("X-Twice:  a: b ").unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("x-twice", "a: b"));
        for bad in ["x", "x y: z", ": z", "x: a\nb"] {
            assert!(parse_field(bad).is_err(), "{bad}");
        }
    }
}
