//! The configuration that a gateway apart keeps on its disk: the signed frames as they came, sealed.
//!
//! ```text
//! "PORTICOF" | version (1) | record | record | …
//! record: length (4, big-endian) | sealed frame
//! ```
//!
//! The first record is a whole configuration, the others are the differences after it, in order. The file is replaced whole (a new
//! file, flushed and renamed) when a whole configuration comes, and appended to and flushed for each difference. Records are sealed
//! under the secret of the gateway's token; their signatures are the control plane's and are checked again when they are read.
//!
//! A process that dies while it appends leaves a last record that is cut off: what is before it counts. Anything else that is not as
//! it was written makes the file unusable, and the whole of it is refused.

use secret_box::SecretBox;
use snapshot::frame::{FrameError, Receiver, SIGNED_HEAD_BYTES};
use std::{
    fs::{File, OpenOptions},
    io::{BufReader, ErrorKind, Read, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

const MAGIC: &[u8; 8] = b"PORTICOF";
const VERSION: u8 = 1;
/// Purpose bound into every record.
const PURPOSE: &str = "gateway configuration";

/// Why a file is refused.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// It cannot be read or written.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// It is none of ours, or of another version.
    #[error("it is no configuration that this program kept")]
    Format,
    /// It ends within the first record.
    #[error("it is cut off")]
    Truncated,
    /// It was changed, or sealed under another gateway's token.
    #[error("{0}")]
    Sealed(#[from] secret_box::Error),
    /// A frame in it is refused.
    #[error("{0}")]
    Frame(#[from] FrameError),
}

/// What was found in a file.
#[derive(Debug, Default)]
pub struct Found {
    /// Signed head of the last frame.
    pub last_head: Vec<u8>,
    /// Whether the last record was cut off.
    pub is_torn: bool,
}

/// The file.
pub struct Kept {
    path: PathBuf,
    secrets: SecretBox,
    file: Option<File>,
    whole_bytes: u64,
    appended_bytes: u64,
}

impl Kept {
    /// The file at this path, sealed under this secret.
    ///
    /// # Errors
    /// When the cipher refuses the secret.
    pub fn new(path: PathBuf, secret: &[u8; 32]) -> Result<Self, KeptError> {
        Ok(Self {
            path,
            secrets: SecretBox::new(secret)?,
            file: None,
            whole_bytes: 0,
            appended_bytes: 0,
        })
    }

    /// Reads the file into a receiver; `None` when there is no file. What was refused has not changed the receiver.
    ///
    /// # Errors
    /// Why the file is refused.
    pub fn read(&mut self, receiver: &mut Receiver) -> Result<Option<Found>, KeptError> {
        let (mut file, file_bytes) = match File::open(&self.path) {
            Ok(file) => {
                let bytes = file.metadata()?.len();
                (BufReader::new(file), bytes)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut beginning = [0; MAGIC.len() + 1];
        match file.read_exact(&mut beginning) {
            Ok(()) if beginning[..MAGIC.len()] == *MAGIC && beginning[MAGIC.len()] == VERSION => {}
            Err(error) if error.kind() != ErrorKind::UnexpectedEof => return Err(error.into()),
            _ => return Err(KeptError::Format),
        }
        let mut next = receiver.clone();
        let mut found = Found::default();
        let (mut first_bytes, mut all_bytes) = (None, 0);
        loop {
            let record = match record(&mut file, file_bytes)? {
                Record::Whole(record) => record,
                Record::Torn => {
                    found.is_torn = true;
                    break;
                }
                Record::End => break,
            };
            first_bytes.get_or_insert(record.len() as u64);
            all_bytes += record.len() as u64;
            let frame = self.secrets.open(PURPOSE, &record)?;
            // Both are as long as the configuration.
            drop(record);
            next.take(&frame)?;
            found.last_head = frame[..SIGNED_HEAD_BYTES].to_vec();
        }
        if !next.has_whole() {
            return Err(KeptError::Truncated);
        }
        *receiver = next;
        if !found.is_torn {
            self.whole_bytes = first_bytes.unwrap_or_default();
            self.appended_bytes = all_bytes - self.whole_bytes;
            // Without the right to write the configuration is served all the same, and a whole one is asked for.
            self.file = OpenOptions::new().append(true).open(&self.path).ok();
        }
        Ok(Some(found))
    }

    fn sealed(&self, frame: &[u8]) -> Result<Vec<u8>, KeptError> {
        let sealed = self.secrets.seal(PURPOSE, frame)?;
        let length = u32::try_from(sealed.len())
            .map_err(|_| std::io::Error::other("the configuration is larger than 4 GiB"))?;
        let mut record = length.to_be_bytes().to_vec();
        record.extend_from_slice(&sealed);
        Ok(record)
    }

    /// Keeps a whole configuration instead of everything before it.
    ///
    /// # Errors
    /// When it cannot be written; the file before it is then still there.
    pub fn replace(&mut self, frame: &[u8]) -> Result<(), KeptError> {
        let record = self.sealed(frame)?;
        let fresh = self.path.with_extension("new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)?;
        file.write_all(MAGIC)?;
        file.write_all(&[VERSION])?;
        file.write_all(&record)?;
        file.sync_all()?;
        std::fs::rename(&fresh, &self.path)?;
        // The new name is durable only with its folder.
        let folder = self.path.parent().unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()?;
        self.file = Some(file);
        (self.whole_bytes, self.appended_bytes) = (record.len() as u64, 0);
        Ok(())
    }

    /// Keeps differences. Without a whole configuration of this process before them nothing is kept: a torn record may end the file.
    ///
    /// # Errors
    /// When they cannot be written. The file is then not appended to again before it is replaced.
    pub fn append(&mut self, frames: &[Vec<u8>]) -> Result<(), KeptError> {
        let mut records = Vec::new();
        for frame in frames {
            records.extend(self.sealed(frame)?);
        }
        let Some(mut file) = self.file.take() else {
            return Ok(());
        };
        file.write_all(&records)?;
        file.sync_data()?;
        self.appended_bytes += records.len() as u64;
        self.file = Some(file);
        Ok(())
    }

    /// Whether differences can be appended.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Whether the differences have grown so long that a whole configuration is wanted.
    #[must_use]
    pub fn has_grown(&self) -> bool {
        const LEAST: u64 = 1024 * 1024;
        self.appended_bytes > self.whole_bytes.max(LEAST)
    }
}

/// What stands next in the file.
enum Record {
    Whole(Vec<u8>),
    /// It is cut off.
    Torn,
    End,
}

/// The next record of a file of so many bytes.
fn record(file: &mut impl Read, file_bytes: u64) -> std::io::Result<Record> {
    let mut length = Vec::with_capacity(4);
    file.take(4).read_to_end(&mut length)?;
    let Ok(length) = <[u8; 4]>::try_from(&length[..]) else {
        return Ok(if length.is_empty() {
            Record::End
        } else {
            Record::Torn
        });
    };
    let length = u64::from(u32::from_be_bytes(length));
    // A damaged length reserves no more than there can be.
    let most = usize::try_from(length.min(file_bytes)).unwrap_or(0);
    let mut record = Vec::with_capacity(most);
    file.take(length).read_to_end(&mut record)?;
    Ok(if record.len() as u64 == length {
        Record::Whole(record)
    } else {
        Record::Torn
    })
}
