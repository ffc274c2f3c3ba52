//! The batch execution service against real blob storage.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use crate::surroundings::{
    ACCOUNT, ACCOUNT_KEY, Sample, Storage, bad_argument, connection_string, folder, reference,
    refusal,
};

const INPUT: &str = "Col2\nThis is a good day\n";
const RESULT: &str = "Col2,Col2_HashingFeature.0,Col2_HashingFeature.1,Col2_HashingFeature.2,Col2_HashingFeature.3,\
                      Col2_HashingFeature.4,Col2_HashingFeature.5,Col2_HashingFeature.6,Col2_HashingFeature.7\n\
                      This is a good day,1,1,2,2,0,2,0,1\n";

/// Blob storage that takes a connection and never answers, so that a job stays running.
struct SilentStorage {
    listener: TcpListener,
    connection_string: String,
}

impl SilentStorage {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}/{ACCOUNT}", listener.local_addr().unwrap());
        Self {
            listener,
            connection_string: connection_string(&endpoint),
        }
    }

    fn submission(&self) -> Value {
        json!({ "Input": reference(&self.connection_string, "in.csv") })
    }

    /// The next connection, once its request has begun to arrive.
    async fn caller(&self) -> TcpStream {
        let accepted = tokio::time::timeout(Duration::from_secs(60), self.listener.accept()).await;
        let (mut caller, _) = accepted.expect("a job reads its input").unwrap();
        assert!(caller.read_u8().await.is_ok());
        caller
    }
}

/// The URL that a result's three parts make.
fn url_of(location: &Value) -> String {
    ["BaseLocation", "RelativeLocation", "SasBlobToken"]
        .map(|part| location[part].as_str().unwrap())
        .concat()
}

fn is_time(value: &Value) -> bool {
    value
        .as_str()
        .is_some_and(|text| text.len() == "2026-01-02T03:04:05.678Z".len() && text.ends_with('Z'))
}

#[tokio::test]
async fn a_job_is_submitted_started_and_finished_and_its_result_can_be_downloaded() {
    let storage = Storage::start().await;
    let sample = Sample::start(&[]);
    storage.put("in.csv", INPUT).await;
    let id = sample
        .submit(&json!({
            "Input": storage.reference("in.csv"),
            "Outputs": { "output1": storage.reference("results/my result \u{e4}.csv") },
            "GlobalParameters": {},
        }))
        .await;

    let waiting = sample.job(&id).await;
    assert!(is_time(&waiting["CreatedAt"]), "{waiting}");
    assert_eq!(
        waiting,
        json!({
            "StatusCode": "NotStarted", "Results": null, "Details": null,
            "CreatedAt": waiting["CreatedAt"], "StartTime": null, "EndTime": null,
        })
    );

    sample.start_job(&id).await;
    let finished = sample.ended_job(&id).await;
    assert!(
        is_time(&finished["StartTime"]) && is_time(&finished["EndTime"]),
        "{finished}"
    );
    let location = &finished["Results"]["output1"];
    assert_eq!(
        finished,
        json!({
            "StatusCode": "Finished",
            "Results": { "output1": {
                "ConnectionString": null,
                "RelativeLocation": "data/results/my%20result%20%C3%A4.csv",
                "BaseLocation": location["BaseLocation"],
                "SasBlobToken": location["SasBlobToken"],
            } },
            "Details": null,
            "CreatedAt": waiting["CreatedAt"], "StartTime": finished["StartTime"], "EndTime": finished["EndTime"],
        })
    );
    assert!(
        location["BaseLocation"]
            .as_str()
            .unwrap()
            .ends_with("/devstoreaccount1/"),
        "{location}"
    );

    let client = reqwest::Client::new();
    let download = client.get(url_of(location)).send().await.unwrap();
    assert_eq!(
        download.headers()["Content-Type"],
        "text/csv; charset=utf-8"
    );
    assert_eq!(
        (download.status(), download.text().await.unwrap()),
        (StatusCode::OK, RESULT.to_owned())
    );
    let overwrite = client
        .put(url_of(location))
        .header("x-ms-blob-type", "BlockBlob")
        .body("x")
        .send();
    assert_eq!(
        overwrite.await.unwrap().status(),
        StatusCode::FORBIDDEN,
        "the token allows only reading"
    );
    let other_blob = url_of(location).replace("results/", "other/");
    assert_eq!(
        client.get(other_blob).send().await.unwrap().status(),
        StatusCode::FORBIDDEN
    );

    let path = format!("jobs/{id}?api-version=2.0");
    assert_eq!(
        sample.call(Method::DELETE, &path, "").await.status(),
        StatusCode::OK
    );
    assert_eq!(
        sample.call(Method::GET, &path, "").await.status(),
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        storage.text("results/my result \u{e4}.csv").await,
        RESULT,
        "a deleted job leaves its result"
    );
}

#[tokio::test]
async fn inputs_by_name_are_taken_and_without_an_output_the_result_lies_beside_the_input() {
    let storage = Storage::start().await;
    let sample = Sample::start(&[]);
    storage.put("in.csv", INPUT).await;
    for outputs in [json!(null), json!({})] {
        let id = sample
            .submit(&json!({ "Inputs": { "input1": storage.reference("in.csv") }, "Outputs": outputs, "GlobalParameters": null }))
            .await;
        sample.start_job(&id).await;
        let finished = sample.ended_job(&id).await;
        assert_eq!(
            finished["Results"]["output1"]["RelativeLocation"],
            format!("data/{id}/output1.csv"),
            "{finished}"
        );
        assert_eq!(storage.text(&format!("{id}/output1.csv")).await, RESULT);
    }
}

#[tokio::test]
async fn a_job_that_cannot_be_done_fails_with_the_reason() {
    let storage = Storage::start().await;
    let sample = Sample::start(&["--max-input-bytes", "100"]);
    storage.put("columns.csv", "Text\na\n").await;
    storage.put("ragged.csv", "Col2\na,b\n").await;
    storage.put("large.csv", &"x".repeat(101)).await;
    storage.put("good.csv", INPUT).await;
    let no_container = json!({ "ConnectionString": storage.connection_string, "RelativeLocation": "missing/out.csv" });
    let output = storage.reference("out.csv");
    for (input, output, reason) in [
        ("missing.csv", &output, "data/missing.csv"),
        (
            "columns.csv",
            &output,
            "data/columns.csv: InputParseError: The input has no column named 'Col2'.",
        ),
        (
            "ragged.csv",
            &output,
            "data/ragged.csv: the input is no valid CSV",
        ),
        (
            "large.csv",
            &output,
            "The input blob data/large.csv has 101 bytes; at most 100 are taken.",
        ),
        ("good.csv", &no_container, "missing/out.csv"),
    ] {
        let id = sample
            .submit(&json!({ "Input": storage.reference(input), "Outputs": { "output1": output } }))
            .await;
        sample.start_job(&id).await;
        let failed = sample.ended_job(&id).await;
        assert_eq!(
            (&failed["StatusCode"], &failed["Results"]),
            (&json!("Failed"), &json!(null)),
            "{failed}"
        );
        let details = failed["Details"].as_str().unwrap();
        assert!(
            details.contains(reason) && !details.contains(ACCOUNT_KEY),
            "{details}"
        );
    }
}

#[tokio::test]
async fn wrong_submissions_are_refused_with_what_is_wrong() {
    let sample = Sample::start(&[]);
    let storage = connection_string("http://127.0.0.1:9/devstoreaccount1");
    let good = reference(&storage, "in.csv");
    let at = |location: &str| json!({ "ConnectionString": storage, "RelativeLocation": location });
    for (submission, code, message) in [
        (
            json!({}),
            "BatchJobInputsNotSpecified",
            "The required input is missing: give Input or Inputs.input1.",
        ),
        (
            json!({ "Input": good, "Inputs": { "input1": good } }),
            "DuplicateInputInBatchCall",
            "Both Input and Inputs are given; give one of them.",
        ),
        (
            json!({ "Inputs": { "input1": good, "input2": good } }),
            "InvalidInputNames",
            "The service has no input named 'input2'; its only input is 'input1'.",
        ),
        (
            json!({ "Input": good, "Outputs": { "model": good } }),
            "InvalidOutputOverrideName",
            "The service has no output named 'model'; its only output is 'output1'.",
        ),
        (
            json!({ "Input": good, "Outputs": { "output1": null } }),
            "MissingOutputOverrideSpecification",
            "Outputs.output1 is null; give a blob, or leave it out to have the result beside the input.",
        ),
        (
            json!({ "Input": good, "GlobalParameters": { "Bits": 4 } }),
            "UnexpectedParameter",
            "GlobalParameters has 'Bits', but this service has no parameters.",
        ),
        (
            json!({ "Input": { "RelativeLocation": "data/in.csv" } }),
            "MissingInputBlobInformation",
            "Input needs both ConnectionString and RelativeLocation.",
        ),
        (
            json!({ "Input": { "BaseLocation": "https://a.blob.core.windows.net/", "RelativeLocation": "data/in.csv" } }),
            "InvalidBlob",
            "Invalid blob specification for Input: BaseLocation and SasBlobToken are not supported here; give \
             ConnectionString and RelativeLocation.",
        ),
        (
            json!({ "Inputs": { "input1": { "ConnectionString": "AccountName=a1b", "RelativeLocation": "data/in.csv" } } }),
            "InvalidBlobConnectionString",
            "Inputs.input1.ConnectionString is invalid: AccountKey is missing; it is needed to sign the result's \
             SasBlobToken.",
        ),
        (
            json!({ "Input": at("in.csv") }),
            "InputBlobRelativeLocationInvalid",
            "Input.RelativeLocation 'in.csv' has no blob name; write container/blob.csv.",
        ),
        (
            json!({ "Input": at("Data/in.csv") }),
            "ContainerSegmentInvalid",
            "Input.RelativeLocation names the container 'Data'; a container's name has 3 to 63 lower-case letters, \
             digits and single hyphens, the first and last of them no hyphen.",
        ),
        (
            json!({ "Input": good, "Outputs": { "output1": at("data/out.arff") } }),
            "InvalidBlobExtension",
            "Outputs.output1.RelativeLocation 'data/out.arff' has an invalid or missing file extension. Supported: \
             \".csv\".",
        ),
        (
            json!({ "Input": good, "Ouputs": {} }),
            "RequestBodyInvalid",
            "Ouputs: unknown field `Ouputs`, expected one of `Input`, `Inputs`, `Outputs`, `GlobalParameters` at line 1 \
             column {COLUMN}",
        ),
    ] {
        let text = submission.to_string();
        let column = text.find("\"Ouputs\"").unwrap_or_default() + "\"Ouputs\"".len();
        let message = message.replace("{COLUMN}", &column.to_string());
        assert_eq!(
            sample
                .json(Method::POST, "jobs?api-version=2.0", text)
                .await,
            (StatusCode::BAD_REQUEST, bad_argument(code, &message)),
        );
    }
}

#[tokio::test]
async fn unknown_jobs_are_not_found() {
    let sample = Sample::start(&[]);
    for (method, path) in [
        (Method::GET, "jobs/none"),
        (Method::DELETE, "jobs/none"),
        (Method::POST, "jobs/none/start"),
    ] {
        assert_eq!(
            sample
                .json(method, &format!("{path}?api-version=2.0"), "")
                .await,
            (
                StatusCode::NOT_FOUND,
                refusal(
                    "NotFound",
                    "Resource not found.",
                    "JobNotFound",
                    "There is no job 'none'. Ended jobs are kept for 24 hours.",
                )
            )
        );
    }
}

#[tokio::test]
async fn a_job_is_cancelled_before_it_starts_and_while_it_runs() {
    let storage = SilentStorage::start().await;
    let sample = Sample::start(&[]);
    let cannot_start = |state| {
        refusal(
            "InvalidOperation",
            "The request is invalid in the current context.",
            "CannotStartJob",
            &format!("The job cannot be started because it is in {state} state."),
        )
    };

    let waiting = sample.submit(&storage.submission()).await;
    let path = format!("jobs/{waiting}?api-version=2.0");
    assert_eq!(
        sample.call(Method::DELETE, &path, "").await.status(),
        StatusCode::OK
    );
    assert_eq!(sample.job(&waiting).await["StatusCode"], "Cancelled");
    let start = format!("jobs/{waiting}/start?api-version=2.0");
    assert_eq!(
        sample.json(Method::POST, &start, "").await,
        (StatusCode::BAD_REQUEST, cannot_start("Cancelled"))
    );

    let running = sample.submit(&storage.submission()).await;
    sample.start_job(&running).await;
    let mut caller = storage.caller().await;
    assert_eq!(sample.job(&running).await["StatusCode"], "Running");
    let start = format!("jobs/{running}/start?api-version=2.0");
    assert_eq!(
        sample.json(Method::POST, &start, "").await,
        (StatusCode::BAD_REQUEST, cannot_start("Running"))
    );
    let path = format!("jobs/{running}?api-version=2.0");
    assert_eq!(
        sample.call(Method::DELETE, &path, "").await.status(),
        StatusCode::OK
    );
    let cancelled = sample.job(&running).await;
    assert_eq!(
        (&cancelled["StatusCode"], &cancelled["Results"]),
        (&json!("Cancelled"), &json!(null))
    );
    let mut rest = Vec::new();
    // Ends only when the cancelled job has given up its connection to the storage.
    let given_up =
        tokio::time::timeout(Duration::from_secs(60), caller.read_to_end(&mut rest)).await;
    given_up
        .expect("a cancelled job does not keep on reading")
        .unwrap();
}

#[tokio::test]
async fn jobs_in_a_state_folder_survive_the_programs_death() {
    let storage = Storage::start().await;
    let silent = SilentStorage::start().await;
    let state = folder("state");
    let flags = ["--state-dir", state.to_str().unwrap()];
    storage.put("in.csv", INPUT).await;
    let submission = json!({ "Input": storage.reference("in.csv") });

    let mut sample = Sample::start(&flags);
    let finished = sample.submit(&submission).await;
    sample.start_job(&finished).await;
    let result = sample.ended_job(&finished).await;
    assert_eq!(result["StatusCode"], "Finished");
    let waiting = sample.submit(&submission).await;
    let running = sample.submit(&silent.submission()).await;
    sample.start_job(&running).await;
    let _first_attempt = silent.caller().await;
    let deleted = sample.submit(&submission).await;
    for _ in ["cancel", "forget"] {
        sample
            .call(
                Method::DELETE,
                &format!("jobs/{deleted}?api-version=2.0"),
                "",
            )
            .await;
    }
    sample.program.kill();

    let sample = Sample::start(&flags);
    assert_eq!(sample.job(&finished).await, result);
    assert_eq!(sample.job(&running).await["StatusCode"], "Running");
    let _second_attempt = silent.caller().await;
    sample.start_job(&waiting).await;
    assert_eq!(sample.ended_job(&waiting).await["StatusCode"], "Finished");
    let forgotten = sample
        .call(Method::GET, &format!("jobs/{deleted}?api-version=2.0"), "")
        .await;
    assert_eq!(forgotten.status(), StatusCode::NOT_FOUND);

    let file = |id: &str| state.join(format!("{id}.json"));
    assert!(!file(&deleted).exists());
    assert!(
        !std::fs::read_to_string(file(&finished))
            .unwrap()
            .contains(ACCOUNT_KEY),
        "an ended job keeps no key"
    );
    assert_eq!(
        std::fs::metadata(file(&running))
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o600
    );
}
