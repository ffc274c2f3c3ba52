//! Passwords: argon2id with the parameters of the OWASP cheat sheet (19 MiB, 2 passes, 1 lane).

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use std::sync::{Arc, LazyLock};
use tokio::sync::Semaphore;

/// Hashes at a time. Each takes 19 MiB and a core, so a flood of sign-ins must not take all of both.
static HASHING: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(2)));

/// A hash could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the password could not be hashed: {0}")]
pub struct HashError(String);

/// What is wrong with a new password; each entry continues "the password".
#[must_use]
pub fn problems(password: &str) -> Vec<String> {
    let mut out = Vec::new();
    let length = password.chars().count();
    if length < 8 {
        out.push("must be at least 8 characters long".to_owned());
    }
    if length > 256 {
        out.push("must be at most 256 characters long".to_owned());
    }
    if length > 0 && password.chars().all(|c| password.starts_with(c)) {
        out.push("must not repeat one character".to_owned());
    }
    out
}

fn argon2() -> Result<Argon2<'static>, HashError> {
    let params = Params::new(19 * 1024, 2, 1, None).map_err(|e| HashError(e.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Runs work on a blocking thread when its turn has come. The turn ends with the work: a caller that
/// hangs up does not stop the thread, and must not make room for another one either.
async fn in_turn<T: Send + 'static>(
    turns: &Arc<Semaphore>,
    work: impl FnOnce() -> Result<T, HashError> + Send + 'static,
) -> Result<T, HashError> {
    let failed = |e: &dyn std::error::Error| HashError(e.to_string());
    let turn = turns
        .clone()
        .acquire_owned()
        .await
        .map_err(|e| failed(&e))?;
    tokio::task::spawn_blocking(move || {
        let outcome = work();
        drop(turn);
        outcome
    })
    .await
    .map_err(|e| failed(&e))?
}

/// The hash to store, with salt and parameters (PHC string).
///
/// # Errors
/// When the system gives no randomness or memory.
pub async fn hash(password: String) -> Result<String, HashError> {
    in_turn(&HASHING, move || {
        let hash = argon2()?
            .hash_password(password.as_bytes())
            .map_err(|e| HashError(e.to_string()))?;
        Ok(hash.to_string())
    })
    .await
}

/// Whether a password has this hash. Without a hash (an unknown account) it takes as long and is false.
///
/// # Errors
/// When the hash is not one.
pub async fn verify(password: String, stored: Option<String>) -> Result<bool, HashError> {
    in_turn(&HASHING, move || {
        let Some(stored) = stored else {
            argon2()?
                .hash_password(password.as_bytes())
                .map_err(|e| HashError(e.to_string()))?;
            return Ok(false);
        };
        let stored = PasswordHash::new(&stored).map_err(|e| HashError(e.to_string()))?;
        Ok(argon2()?
            .verify_password(password.as_bytes(), &stored)
            .is_ok())
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_has_its_hash_and_no_other() -> Result<(), HashError> {
        let stored = hash("correct horse".into()).await?;
        assert!(
            stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{stored}"
        );
        assert!(verify("correct horse".into(), Some(stored.clone())).await?);
        assert!(!verify("wrong horse".into(), Some(stored.clone())).await?);
        assert!(!verify("correct horse".into(), None).await?);
        assert_ne!(hash("correct horse".into()).await?, stored);
        Ok(())
    }

    #[tokio::test]
    async fn a_caller_that_hangs_up_keeps_the_turn_until_the_work_is_done()
    -> Result<(), Box<dyn std::error::Error>> {
        let turns = Arc::new(Semaphore::new(1));
        let (started, starts) = tokio::sync::oneshot::channel();
        let (finish, finishes) = std::sync::mpsc::channel::<()>();
        let caller = tokio::spawn({
            let turns = turns.clone();
            async move {
                let work = move || {
                    let told = started.send(()).is_ok();
                    finishes.recv().map_err(|e| HashError(e.to_string()))?;
                    Ok(told)
                };
                in_turn(&turns, work).await
            }
        });
        starts.await?;
        caller.abort();
        assert!(caller.await.is_err_and(|e| e.is_cancelled()));
        assert_eq!(turns.available_permits(), 0);
        finish.send(())?;
        let next = turns.acquire().await?;
        drop(next);
        Ok(())
    }

    #[test]
    fn short_and_repeated_passwords_are_refused() {
        assert_eq!(problems("short"), ["must be at least 8 characters long"]);
        assert_eq!(problems("aaaaaaaaaa"), ["must not repeat one character"]);
        assert_eq!(problems("correct horse"), Vec::<String>::new());
    }
}
