//! A CSV with a header: UTF-8, with commas, quotes as RFC 4180 has them, lines of either kind.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use csv::{ByteRecord, Reader, ReaderBuilder};

use crate::import::columns::Columns;
use crate::import::row::{MAX_VALUE, SourceRow};
use crate::import::source::SourceRefused;

/// An open CSV.
pub struct CsvFile {
    reader: Reader<Bounded<BufReader<File>>>,
    /// Where each field is, and how many columns there are.
    places: [usize; 6],
    width: usize,
}

/// The longest row, in bytes: a quote that nobody closes makes the rest of the file one.
const MAX_ROW: usize = 16 * 1024 * 1024;

/// Gives no more than `left` bytes, so that no row takes all of the memory.
struct Bounded<R> {
    inner: R,
    left: usize,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(self.left);
        if wanted == 0 && !buffer.is_empty() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let got = self.inner.read(buffer.get_mut(..wanted).unwrap_or_default())?;
        self.left -= got;
        Ok(got)
    }
}

impl CsvFile {
    pub(super) fn open(path: &Path, columns: &Columns) -> Result<Self, SourceRefused> {
        let unopened = |what: String| SourceRefused::Unopened(format!("{}: {what}", path.display()));
        let file = File::open(path).map_err(|e| unopened(e.to_string()))?;
        let bounded = Bounded { inner: BufReader::new(file), left: MAX_ROW };
        let mut reader = ReaderBuilder::new().flexible(true).from_reader(bounded);
        let header = reader.byte_headers().map_err(|_| unopened("it has no header".into()))?.clone();
        let mut places = [0; 6];
        for (place, name) in places.iter_mut().zip(columns.names()) {
            let mut found = header.iter().enumerate().filter(|(_, header)| *header == name.as_bytes());
            match (found.next(), found.next()) {
                (Some((at, _)), None) => *place = at,
                (None, _) => return Err(unopened(format!("its header does not name the column {name}"))),
                (Some(_), Some(_)) => {
                    return Err(unopened(format!("its header names the column {name} twice")));
                }
            }
        }
        Ok(Self { reader, places, width: header.len() })
    }

    pub(super) fn read(mut self, mut take: impl FnMut(SourceRow) -> bool) -> Result<(), SourceRefused> {
        let mut record = ByteRecord::new();
        for number in 1.. {
            self.reader.get_mut().left = MAX_ROW;
            let more = self.reader.read_byte_record(&mut record);
            let more = more.map_err(|error| match error.kind() {
                csv::ErrorKind::Io(e) if e.kind() == io::ErrorKind::FileTooLarge => {
                    SourceRefused::BrokeOff("a row is longer than 16 MiB: is a quote left open?")
                }
                _ => SourceRefused::BrokeOff("the file can't be read"),
            })?;
            if !more {
                return Ok(());
            }
            let values = (record.len() == self.width).then(|| {
                self.places.map(|place| {
                    let value = record.get(place).unwrap_or_default();
                    Some(value.get(..=MAX_VALUE).unwrap_or(value).to_vec())
                })
            });
            if !take(SourceRow { number, values }) {
                break;
            }
        }
        Ok(())
    }
}
