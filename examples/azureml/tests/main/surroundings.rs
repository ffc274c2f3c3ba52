//! The programs that the tests run against, each ended when dropped.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use object_store::ObjectStoreExt;
use object_store::azure::{
    AzureAccessKey, AzureAuthorizer, AzureCredential, MicrosoftAzureBuilder,
};
use object_store::path::Path;
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

pub const WORKSPACE: &str = "w1";
pub const SERVICE: &str = "s1";
pub const API_KEY: &str = "test-key/with+signs==";

/// How long a program may be silent before its start counts as failed; the first start of Azurite installs it.
const START_PATIENCE: Duration = Duration::from_secs(180);

/// The account that Azurite and Microsoft's other storage emulators document.
pub const ACCOUNT: &str = "devstoreaccount1";
pub const ACCOUNT_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A folder of this test run's own.
pub fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("{name}-{}", uuid::Uuid::new_v4().simple()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// A child process that does not outlive the test.
pub struct Program(Child);

impl Program {
    /// Starts a program and reads its standard output up to the line with `mark`; returns what follows the mark.
    /// What the program prints later is discarded.
    fn start(mut command: Command, mark: &str) -> (Self, String) {
        let mut program = Self(
            command
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap(),
        );
        let lines = BufReader::new(program.0.stdout.take().unwrap()).lines();
        let (sender, receiver) = std::sync::mpsc::channel();
        // Reads to the program's end, so that it never blocks on a full pipe.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // The receiver is gone once it has found the mark.
                let _ = sender.send(line);
            }
        });
        let found = loop {
            match receiver.recv_timeout(START_PATIENCE) {
                Ok(line) => {
                    if let Some((_, rest)) = line.split_once(mark) {
                        break rest.trim().to_owned();
                    }
                }
                Err(problem) => panic!("{command:?} did not print '{mark}': {problem}"),
            }
        };
        (program, found)
    }

    /// Ends the program as `kill -9` does.
    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Asks the program to end and returns its exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let asked = Command::new("kill")
            .args(["-TERM", &self.0.id().to_string()])
            .status()
            .unwrap();
        assert!(asked.success());
        self.0.wait().unwrap().code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Fails only when the program has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The web service under test.
pub struct Sample {
    pub program: Program,
    pub url: String,
    http: reqwest::Client,
}

impl Sample {
    pub fn start(flags: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_azureml"));
        command.args([
            "--listen",
            "127.0.0.1:0",
            "--workspace",
            WORKSPACE,
            "--service",
            SERVICE,
        ]);
        command
            .args(flags)
            .env("AZUREML_API_KEY", API_KEY)
            .env("RUST_LOG", "error");
        let (program, url) = Program::start(command, "Azure ML sample web service: ");
        Self {
            program,
            url,
            http: reqwest::Client::new(),
        }
    }

    /// A call with the right key; `path` is what follows the service's address.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> Response {
        let url = format!(
            "{}/workspaces/{WORKSPACE}/services/{SERVICE}/{path}",
            self.url
        );
        self.http
            .request(method, url)
            .bearer_auth(API_KEY)
            .body(body)
            .send()
            .await
            .unwrap()
    }

    /// A call whose answer is JSON.
    pub async fn json(
        &self,
        method: Method,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> (StatusCode, Value) {
        let answer = self.call(method, path, body).await;
        (answer.status(), answer.json().await.unwrap())
    }

    /// Submits a batch job and returns its id.
    pub async fn submit(&self, submission: &Value) -> String {
        let (status, id) = self
            .json(Method::POST, "jobs?api-version=2.0", submission.to_string())
            .await;
        assert_eq!(status, StatusCode::OK, "{id}");
        id.as_str().unwrap().to_owned()
    }

    pub async fn start_job(&self, id: &str) {
        let answer = self
            .call(
                Method::POST,
                &format!("jobs/{id}/start?api-version=2.0"),
                "",
            )
            .await;
        assert_eq!(
            (answer.status(), answer.text().await.unwrap()),
            (StatusCode::OK, String::new())
        );
    }

    pub async fn job(&self, id: &str) -> Value {
        let (status, job) = self
            .json(Method::GET, &format!("jobs/{id}?api-version=2.0"), "")
            .await;
        assert_eq!(status, StatusCode::OK, "{job}");
        job
    }

    /// Polls a job until it is no longer running.
    pub async fn ended_job(&self, id: &str) -> Value {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let job = self.job(id).await;
            if job["StatusCode"] != "Running" {
                return job;
            }
            assert!(Instant::now() < deadline, "the job does not end: {job}");
            tokio::task::yield_now().await;
        }
    }
}

/// Azurite, with one container `data`.
pub struct Storage {
    _program: Program,
    pub connection_string: String,
    endpoint: String,
}

impl Storage {
    pub async fn start() -> Self {
        let mut command = Command::new(repository().join("scripts/azurite.sh"));
        command
            .args(["--blobPort", "0", "--location"])
            .arg(folder("azurite"));
        let (program, url) = Program::start(command, "successfully listens on ");
        let endpoint = format!("{url}/{ACCOUNT}");
        let storage = Self {
            _program: program,
            connection_string: connection_string(&endpoint),
            endpoint,
        };
        storage.create_container("data").await;
        storage
    }

    async fn create_container(&self, name: &str) {
        let url = format!("{}/{name}?restype=container", self.endpoint);
        let mut request = http::Request::put(&url)
            .body(object_store::client::HttpRequestBody::empty())
            .unwrap();
        let credential = AzureCredential::AccessKey(AzureAccessKey::try_new(ACCOUNT_KEY).unwrap());
        AzureAuthorizer::new(&credential, ACCOUNT)
            .try_authorize(&mut request)
            .unwrap();
        let answer = reqwest::Client::new()
            .put(url)
            .headers(request.headers().clone())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED);
    }

    fn container(&self) -> object_store::azure::MicrosoftAzure {
        MicrosoftAzureBuilder::new()
            .with_account(ACCOUNT)
            .with_access_key(ACCOUNT_KEY)
            .with_container_name("data")
            .with_endpoint(self.endpoint.clone())
            .with_allow_http(true)
            .build()
            .unwrap()
    }

    pub async fn put(&self, name: &str, text: &str) {
        self.container()
            .put(&Path::parse(name).unwrap(), text.to_owned().into())
            .await
            .unwrap();
    }

    pub async fn text(&self, name: &str) -> String {
        let bytes = self
            .container()
            .get(&Path::parse(name).unwrap())
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    /// A reference to a blob of the container `data`.
    pub fn reference(&self, name: &str) -> Value {
        reference(&self.connection_string, name)
    }
}

pub fn connection_string(endpoint: &str) -> String {
    format!(
        "DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};BlobEndpoint={endpoint};"
    )
}

pub fn reference(connection_string: &str, name: &str) -> Value {
    serde_json::json!({ "ConnectionString": connection_string, "RelativeLocation": format!("/data/{name}") })
}

/// The body of a refusal.
pub fn refusal(class: &str, class_message: &str, code: &str, message: &str) -> Value {
    serde_json::json!({ "error": {
        "code": class,
        "message": class_message,
        "details": [{ "code": code, "message": message }],
    } })
}

pub fn bad_argument(code: &str, message: &str) -> Value {
    refusal("BadArgument", "Invalid argument provided.", code, message)
}
