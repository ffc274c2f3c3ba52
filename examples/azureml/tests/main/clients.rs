//! The Python clients of `examples/clients`, run as a user runs them.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::thread::JoinHandle;

use serde_json::{Value, json};

use crate::surroundings::{API_KEY, SERVICE, Sample, Storage, WORKSPACE, folder, repository};

fn python() -> String {
    let made = Command::new(repository().join("scripts/python-clients.sh"))
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

fn run(client: &str, url: &str, api_key: &str, flags: &[&str]) -> Output {
    Command::new(python())
        .arg("-B")
        .arg(repository().join("examples/clients").join(client))
        .args(["--url", url, "--workspace", WORKSPACE, "--service", SERVICE])
        .args(flags)
        .env("AZUREML_API_KEY", api_key)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_rrs_client_prints_the_guides_row() {
    let sample = Sample::start(&[]);
    let output = run("rrs.py", &sample.url, API_KEY, &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        answer["Results"]["output1"]["value"]["Values"],
        json!([["This is a good day", "1", "1", "2", "2", "0", "2", "0", "1"]])
    );
}

#[test]
fn the_rrs_client_tells_a_refusal_and_fails() {
    let sample = Sample::start(&[]);
    let output = run("rrs.py", &sample.url, "wrong", &[]);
    assert_eq!(
        (output.status.code(), text(&output.stdout)),
        (Some(1), String::new())
    );
    let errors = text(&output.stderr);
    assert!(
        errors.contains("status code 401") && errors.contains("Invalid credentials provided."),
        "{errors}"
    );
}

#[tokio::test]
async fn a_batch_of_a_thousand_rows_gives_what_the_rrs_gives() {
    let storage = Storage::start().await;
    let sample = Sample::start(&[]);
    let files = folder("clients");
    let (input, output) = (files.join("rows.csv"), files.join("result.csv"));
    let mut rows = String::from("Col2\nThis is a good day\n");
    rows.extend((1..1_000).map(|row| format!("\"Row {row}, or {}\"\n", row * 7_919 % 1_000)));
    std::fs::write(&input, &rows).unwrap();
    let (input, output) = (input.to_str().unwrap(), output.to_str().unwrap());

    let storage_flag = format!("--storage={}", storage.connection_string);
    let flags = [
        &*storage_flag,
        "--input",
        input,
        "--output",
        output,
        "--poll-seconds",
        "0.1",
    ];
    let job = run("bes.py", &sample.url, API_KEY, &flags);
    assert!(
        job.status.success(),
        "{}{}",
        text(&job.stdout),
        text(&job.stderr)
    );
    assert!(
        !text(&job.stdout).contains("sig="),
        "the log shows no token"
    );

    let result = std::fs::read(output).unwrap();
    let mut reader = csv::Reader::from_reader(result.as_slice());
    let batch: Vec<Vec<String>> = reader
        .records()
        .map(|record| record.unwrap().iter().map(str::to_owned).collect())
        .collect();
    assert_eq!(batch.len(), 1_000);
    assert_eq!(
        batch[0],
        ["This is a good day", "1", "1", "2", "2", "0", "2", "0", "1"]
    );

    let answer = run("rrs.py", &sample.url, API_KEY, &["--csv", input]);
    assert!(answer.status.success(), "{}", text(&answer.stderr));
    let answer: Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(
        answer["Results"]["output1"]["value"]["Values"],
        json!(batch)
    );
}

#[tokio::test]
async fn the_bes_client_tells_why_a_job_failed_or_was_refused() {
    let storage = Storage::start().await;
    let sample = Sample::start(&[]);
    let files = folder("clients");
    let input = files.join("rows.csv");
    std::fs::write(&input, "Text\na\n").unwrap();
    let output = files.join("result.csv");
    let storage_flag = format!("--storage={}", storage.connection_string);
    let flags = [
        &*storage_flag,
        "--input",
        input.to_str().unwrap(),
        "--output",
        output.to_str().unwrap(),
    ];

    let failed = run("bes.py", &sample.url, API_KEY, &flags);
    assert_eq!(failed.status.code(), Some(1));
    assert!(
        text(&failed.stderr).contains("no column named 'Col2'"),
        "{}",
        text(&failed.stderr)
    );
    let refused = run("bes.py", &sample.url, "wrong", &flags);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused.stderr).contains("status code 401"),
        "{}",
        text(&refused.stderr)
    );
    assert!(!output.exists());
}

#[tokio::test]
async fn the_bes_client_sends_the_subscription_key_and_waits_as_long_as_a_gateway_asks() {
    let storage = Storage::start().await;
    let files = folder("clients");
    let input = files.join("rows.csv");
    std::fs::write(&input, "Col2\na\n").unwrap();
    let output = files.join("result.csv");

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let finished = json!({ "StatusCode": 4, "Results": { "output1": {
        "BaseLocation": format!("{url}/"), "RelativeLocation": "data/out.csv", "SasBlobToken": "?sig=x",
    } } });
    let gateway = scripted_gateway(
        listener,
        [
            (429, "Retry-After: 1\r\n", "{}".to_owned()),
            (200, "", "\"j1\"".to_owned()),
            (200, "", String::new()),
            (200, "", json!({ "StatusCode": 0 }).to_string()),
            (429, "Retry-After: 2\r\n", "{}".to_owned()),
            (503, "Retry-After: 0\r\n", "{}".to_owned()),
            (200, "", json!({ "StatusCode": "Running" }).to_string()),
            (200, "", finished.to_string()),
            (200, "", "the result".to_owned()),
        ]
        .into(),
    );
    let storage_flag = format!("--storage={}", storage.connection_string);
    let flags = [
        &*storage_flag,
        "--input",
        input.to_str().unwrap(),
        "--output",
        output.to_str().unwrap(),
        "--subscription-key=portico",
        "--poll-seconds=0.1",
    ];
    let begun = std::time::Instant::now();
    let job = run("bes.py", &url, API_KEY, &flags);
    assert!(
        job.status.success(),
        "{}{}",
        text(&job.stdout),
        text(&job.stderr)
    );
    assert!(
        begun.elapsed().as_secs_f64() >= 1.0 + 2.0,
        "both Retry-After were waited for"
    );
    assert_eq!(std::fs::read_to_string(&output).unwrap(), "the result");
    let jobs = format!("/workspaces/{WORKSPACE}/services/{SERVICE}/jobs");
    let (submit, start, status) = (
        format!("POST {jobs}?api-version=2.0 portico"),
        format!("POST {jobs}/j1/start?api-version=2.0 portico"),
        format!("GET {jobs}/j1?api-version=2.0 portico"),
    );
    assert_eq!(
        gateway.join().unwrap(),
        [
            &submit,
            &submit,
            &start,
            &status,
            &status,
            &status,
            &status,
            &status,
            "GET /data/out.csv?sig=x ",
        ]
    );
}

/// Answers one request after another from the script; gives back each request's method, address and subscription key.
fn scripted_gateway(
    listener: TcpListener,
    mut script: VecDeque<(u16, &'static str, String)>,
) -> JoinHandle<Vec<String>> {
    std::thread::spawn(move || {
        let mut seen = Vec::new();
        while let Some((status, headers, body)) = script.pop_front() {
            let (mut caller, _) = listener.accept().unwrap();
            seen.push(request_of(&caller));
            let length = body.len();
            write!(
                caller,
                "HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            )
            .unwrap();
        }
        seen
    })
}

fn request_of(caller: &TcpStream) -> String {
    let mut reader = BufReader::new(caller);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let mut words = line.split_whitespace();
    let (method, address) = (
        words.next().unwrap().to_owned(),
        words.next().unwrap().to_owned(),
    );
    let (mut length, mut key) = (0, String::new());
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        let Some((name, value)) = header.trim().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "ocp-apim-subscription-key" => key = value.to_owned(),
            _ => {}
        }
    }
    reader.take(length).read_to_end(&mut Vec::new()).unwrap();
    format!("{method} {address} {key}")
}
