//! Batch jobs: what the caller ordered, how far it is, and the tasks that run it.
//!
//! A job is created `NotStarted`, runs from `start` on and ends `Finished`, `Failed` or `Cancelled`. With a state
//! folder every change is on disk before its reply, one JSON file a job; a job that ran when the program ended runs
//! again from its beginning at the next start, which is harmless because its only effect is to write the same result
//! again. Without a folder, jobs are forgotten when the program ends.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use uuid::Uuid;

use crate::error::{Class, Rejection};
use crate::storage::{Blob, BlobReference, SignedLocation};
use crate::table::Table;

/// The name of the service's only input.
pub const INPUT: &str = "input1";
/// The name of the service's only output.
pub const OUTPUT: &str = "output1";

/// How long the result's token is valid and, with it, how long an ended job is kept.
const RESULT_VALID_FOR: TimeDelta = TimeDelta::hours(24);

/// How many jobs may wait or run at once; more are refused with 429.
const MAX_UNFINISHED_JOBS: usize = 1_000;

/// Azure ML's states of a job; clients know them by these names or by their numbers 0 to 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobStatus {
    /// 0: submitted, waits for `start`.
    NotStarted,
    /// 1: started.
    Running,
    /// 2: ended without a result; the details say why.
    Failed,
    /// 3: ended by the caller.
    Cancelled,
    /// 4: the result is in blob storage.
    Finished,
}

impl JobStatus {
    fn is_end(self) -> bool {
        matches!(self, Self::Failed | Self::Cancelled | Self::Finished)
    }
}

/// The body of a submission.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// The input, in the form of a service with one input.
    #[serde(rename = "Input", default)]
    pub input: Option<BlobReference>,
    /// The input by name, in the form of a service with several.
    #[serde(rename = "Inputs", default)]
    pub inputs: Option<BTreeMap<String, BlobReference>>,
    /// Where to write the result. Without it, beside the input.
    #[serde(rename = "Outputs", default)]
    pub outputs: Option<BTreeMap<String, Option<BlobReference>>>,
    /// This service has none; only an empty object or null is taken.
    #[serde(rename = "GlobalParameters", default)]
    pub global_parameters: Option<Map<String, Value>>,
}

/// A checked submission, as kept with the job until its end. It holds the storage account's key.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Order {
    input: BlobReference,
    output: BlobReference,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Job {
    status: JobStatus,
    /// Gone at the job's end, so that no account key is kept longer than needed.
    order: Option<Order>,
    result: Option<SignedLocation>,
    details: Option<String>,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
}

struct Entry {
    job: Job,
    task: Option<AbortHandle>,
}

/// What the program supplies from outside.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The time of day.
    pub now: fn() -> DateTime<Utc>,
    /// Unguessable identifiers.
    pub new_id: fn() -> Uuid,
    /// Where jobs run.
    pub runtime: Handle,
}

/// All jobs of the service.
pub struct Jobs {
    entries: Mutex<HashMap<String, Entry>>,
    folder: Option<PathBuf>,
    slots: Semaphore,
    max_running: u32,
    max_input_bytes: u64,
    surroundings: Surroundings,
}

/// What cancelling or deleting did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// The job had not ended and is now cancelled.
    Cancelled,
    /// The job had ended and is now forgotten.
    Forgotten,
}

impl Jobs {
    /// Takes up the jobs in `folder`, creating it when missing, and runs again those that were running.
    pub fn open(
        folder: Option<PathBuf>,
        max_running: u32,
        max_input_bytes: u64,
        surroundings: Surroundings,
    ) -> anyhow::Result<Arc<Self>> {
        let mut entries = HashMap::new();
        if let Some(folder) = &folder {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .with_context(|| format!("cannot create the state folder {}", folder.display()))?;
            for file in
                fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?
            {
                let path = file?.path();
                let (Some(id), Some("json")) = (
                    path.file_stem().and_then(|stem| stem.to_str()),
                    path.extension().and_then(|extension| extension.to_str()),
                ) else {
                    continue;
                };
                let text =
                    fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
                let job: Job = serde_json::from_slice(&text)
                    .with_context(|| format!("{} is no job of this program", path.display()))?;
                entries.insert(id.to_owned(), Entry { job, task: None });
            }
        }
        let running: Vec<String> = entries
            .iter()
            .filter(|(_, entry)| entry.job.status == JobStatus::Running)
            .map(|(id, _)| id.clone())
            .collect();
        let jobs = Arc::new(Self {
            entries: Mutex::new(entries),
            folder,
            slots: Semaphore::new(max_running as usize),
            max_running,
            max_input_bytes,
            surroundings,
        });
        for id in running {
            tracing::info!(job = %id, "running again a job that the last run did not finish");
            let mut entries = jobs.entries();
            if let Some(entry) = entries.get_mut(&id) {
                entry.task = jobs.spawn(&id, &entry.job);
            }
        }
        Ok(jobs)
    }

    /// Checks and keeps a submission. Returns the new job's id.
    pub fn submit(&self, submission: Submission) -> Result<String, Rejection> {
        let id = (self.surroundings.new_id)().simple().to_string();
        let order = checked(submission, &id)?;
        let mut entries = self.entries();
        self.forget_expired(&mut entries);
        let unfinished = entries
            .values()
            .filter(|entry| !entry.job.status.is_end())
            .count();
        if unfinished >= MAX_UNFINISHED_JOBS {
            return Err(Rejection::new(
                Class::TooManyRequests,
                "TooManyUnfinishedJobs",
                format!("{unfinished} jobs have not ended; wait for their end or delete some."),
            ));
        }
        let job = Job {
            status: JobStatus::NotStarted,
            order: Some(order),
            result: None,
            details: None,
            created_at: (self.surroundings.now)(),
            started_at: None,
            ended_at: None,
        };
        self.save(&id, &job)?;
        entries.insert(id.clone(), Entry { job, task: None });
        tracing::info!(job = %id, "job submitted");
        Ok(id)
    }

    /// Starts a job that waits for it.
    pub fn start(self: &Arc<Self>, id: &str) -> Result<(), Rejection> {
        let mut entries = self.entries();
        let entry = entries.get_mut(id).ok_or_else(|| unknown(id))?;
        if entry.job.status != JobStatus::NotStarted {
            return Err(Rejection::new(
                Class::InvalidOperation,
                "CannotStartJob",
                format!(
                    "The job cannot be started because it is in {:?} state.",
                    entry.job.status
                ),
            ));
        }
        let mut job = entry.job.clone();
        job.status = JobStatus::Running;
        job.started_at = Some((self.surroundings.now)());
        self.save(id, &job)?;
        entry.task = self.spawn(id, &job);
        entry.job = job;
        tracing::info!(job = %id, "job started");
        Ok(())
    }

    /// The job as the caller sees it.
    pub fn status(&self, id: &str) -> Result<Value, Rejection> {
        let entries = self.entries();
        let job = &entries.get(id).ok_or_else(|| unknown(id))?.job;
        let results = job.result.as_ref().map(|location| {
            json!({ OUTPUT: {
                "ConnectionString": null,
                "RelativeLocation": location.relative_location,
                "BaseLocation": location.base_location,
                "SasBlobToken": location.sas_blob_token,
            } })
        });
        let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Millis, true);
        Ok(json!({
            "StatusCode": job.status,
            "Results": results,
            "Details": job.details,
            "CreatedAt": time(job.created_at),
            "StartTime": job.started_at.map(time),
            "EndTime": job.ended_at.map(time),
        }))
    }

    /// Cancels a job that has not ended; forgets one that has.
    pub fn remove(&self, id: &str) -> Result<Removal, Rejection> {
        let mut entries = self.entries();
        let entry = entries.get_mut(id).ok_or_else(|| unknown(id))?;
        if entry.job.status.is_end() {
            self.erase(id)?;
            entries.remove(id);
            tracing::info!(job = %id, "job deleted");
            return Ok(Removal::Forgotten);
        }
        let mut job = entry.job.clone();
        job.status = JobStatus::Cancelled;
        job.order = None;
        job.ended_at = Some((self.surroundings.now)());
        self.save(id, &job)?;
        entry.job = job;
        if let Some(task) = entry.task.take() {
            task.abort();
        }
        tracing::info!(job = %id, "job cancelled");
        Ok(Removal::Cancelled)
    }

    /// Waits for the started jobs, at most `patience`.
    pub async fn drain(&self, patience: Duration) {
        // The semaphore is fair: all its permits come together only after every job that waits for one.
        let all_ended = self.slots.acquire_many(self.max_running);
        if tokio::time::timeout(patience, all_ended).await.is_err() {
            tracing::warn!(
                kept = self.folder.is_some(),
                "ending while jobs run; with a state folder they run again at the next start"
            );
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        // Every change is a single assignment of a whole value, so a panic elsewhere leaves nothing half done.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(self: &Arc<Self>, id: &str, job: &Job) -> Option<AbortHandle> {
        let order = job.order.clone()?;
        let (jobs, id) = (Arc::clone(self), id.to_owned());
        let task = self.surroundings.runtime.spawn(async move {
            let Ok(_slot) = jobs.slots.acquire().await else {
                return;
            };
            let outcome = jobs.execute(&order).await;
            jobs.finish(&id, outcome);
        });
        Some(task.abort_handle())
    }

    async fn execute(&self, order: &Order) -> Result<SignedLocation, String> {
        let input =
            Blob::from_reference(&order.input, "Input").map_err(|problem| problem.to_string())?;
        let output = Blob::from_reference(&order.output, "Outputs.output1")
            .map_err(|problem| problem.to_string())?;
        let bytes = input
            .read(self.max_input_bytes)
            .await
            .map_err(|problem| problem.to_string())?;
        let csv = tokio::task::spawn_blocking(move || {
            let table = Table::from_csv(&bytes).map_err(|problem| problem.to_string())?;
            table
                .hashed()
                .to_csv()
                .map_err(|problem| problem.to_string())
        })
        .await
        .map_err(|problem| format!("the experiment broke off: {problem}"))?
        .map_err(|problem| format!("{}: {problem}", input.name()))?;
        output
            .write(csv)
            .await
            .map_err(|problem| problem.to_string())?;
        Ok(output.signed_location((self.surroundings.now)(), RESULT_VALID_FOR))
    }

    fn finish(&self, id: &str, outcome: Result<SignedLocation, String>) {
        let mut entries = self.entries();
        let Some(entry) = entries
            .get_mut(id)
            .filter(|entry| entry.job.status == JobStatus::Running)
        else {
            return;
        };
        entry.task = None;
        entry.job.order = None;
        entry.job.ended_at = Some((self.surroundings.now)());
        match outcome {
            Ok(location) => {
                tracing::info!(job = %id, "job finished");
                entry.job.status = JobStatus::Finished;
                entry.job.result = Some(location);
            }
            Err(details) => {
                tracing::warn!(job = %id, %details, "job failed");
                entry.job.status = JobStatus::Failed;
                entry.job.details = Some(details);
            }
        }
        // What is on disk still says Running, so at worst the job runs again after a restart.
        if let Err(problem) = self.save(id, &entry.job) {
            tracing::error!(job = %id, %problem, "the job's end could not be written to the state folder");
        }
    }

    fn forget_expired(&self, entries: &mut HashMap<String, Entry>) {
        let oldest = (self.surroundings.now)() - RESULT_VALID_FOR;
        entries.retain(|id, entry| {
            let expired = entry.job.ended_at.is_some_and(|ended_at| ended_at < oldest);
            if expired && let Err(problem) = self.erase(id) {
                tracing::error!(job = %id, %problem, "an expired job could not be removed from the state folder");
                return true;
            }
            !expired
        });
    }

    fn save(&self, id: &str, job: &Job) -> Result<(), Rejection> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        let write = || -> anyhow::Result<()> {
            let text = serde_json::to_vec(job)?;
            write_whole(
                &folder.join(format!("{id}.new")),
                &folder.join(format!("{id}.json")),
                &text,
            )?;
            Ok(())
        };
        write().map_err(|problem| state_lost(id, &problem))
    }

    fn erase(&self, id: &str) -> Result<(), Rejection> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        fs::remove_file(folder.join(format!("{id}.json")))
            .map_err(|problem| state_lost(id, &problem.into()))
    }
}

/// Writes a file of the owner's only, so that after a crash it is either the old or the new one.
fn write_whole(draft: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(draft, path)
}

fn state_lost(id: &str, problem: &anyhow::Error) -> Rejection {
    tracing::error!(job = %id, %problem, "the state folder cannot be written");
    Rejection::new(
        Class::InternalError,
        "JobStateNotSaved",
        "The job's state could not be saved; nothing was changed.",
    )
}

fn unknown(id: &str) -> Rejection {
    Rejection::new(
        Class::NotFound,
        "JobNotFound",
        format!("There is no job '{id}'. Ended jobs are kept for 24 hours."),
    )
}

fn checked(submission: Submission, id: &str) -> Result<Order, Rejection> {
    no_global_parameters(submission.global_parameters.as_ref())?;
    let (input, input_role) = match (submission.input, submission.inputs) {
        (Some(_), Some(_)) => {
            return Err(Rejection::bad_argument(
                "DuplicateInputInBatchCall",
                "Both Input and Inputs are given; give one of them.",
            ));
        }
        (Some(input), None) => (input, "Input".to_owned()),
        (None, Some(mut inputs)) => {
            let input = inputs.remove(INPUT);
            only_known_names(inputs.keys(), "InvalidInputNames", "input", INPUT)?;
            (input.ok_or_else(missing_input)?, format!("Inputs.{INPUT}"))
        }
        (None, None) => return Err(missing_input()),
    };
    let input_blob = Blob::from_reference(&input, &input_role)?;

    let mut outputs = submission.outputs.unwrap_or_default();
    let output = match outputs.remove(OUTPUT) {
        Some(Some(output)) => output,
        Some(None) => {
            return Err(Rejection::bad_argument(
                "MissingOutputOverrideSpecification",
                format!(
                    "Outputs.{OUTPUT} is null; give a blob, or leave it out to have the result beside the input."
                ),
            ));
        }
        None => BlobReference {
            connection_string: input.connection_string.clone(),
            relative_location: Some(format!("{}/{id}/{OUTPUT}.csv", input_blob.container())),
            base_location: None,
            sas_blob_token: None,
        },
    };
    only_known_names(
        outputs.keys(),
        "InvalidOutputOverrideName",
        "output",
        OUTPUT,
    )?;
    Blob::from_reference(&output, &format!("Outputs.{OUTPUT}"))?;
    Ok(Order { input, output })
}

fn missing_input() -> Rejection {
    Rejection::bad_argument(
        "BatchJobInputsNotSpecified",
        format!("The required input is missing: give Input or Inputs.{INPUT}."),
    )
}

fn only_known_names<'a>(
    mut others: impl Iterator<Item = &'a String>,
    code: &'static str,
    what: &str,
    known: &str,
) -> Result<(), Rejection> {
    match others.next() {
        None => Ok(()),
        Some(name) => Err(Rejection::bad_argument(
            code,
            format!("The service has no {what} named '{name}'; its only {what} is '{known}'."),
        )),
    }
}

/// Refuses parameters: the experiment has none.
pub fn no_global_parameters(parameters: Option<&Map<String, Value>>) -> Result<(), Rejection> {
    match parameters.and_then(|parameters| parameters.keys().next()) {
        None => Ok(()),
        Some(name) => Err(Rejection::bad_argument(
            "UnexpectedParameter",
            format!("GlobalParameters has '{name}', but this service has no parameters."),
        )),
    }
}
