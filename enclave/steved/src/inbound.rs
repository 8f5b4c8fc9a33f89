//! A request as it comes out of the tunnel.

use crate::body::next_frame;
use crate::seated::Upload;
use caution_steve::http::{Decoder, Fields, MessageError, Part, RequestHead};
use caution_steve::{Kind, Opener, Record, RecordError};

/// Reads records, and the message in them.
pub(crate) struct Inbound {
    body: Upload,
    opener: Opener,
    decoder: Decoder,
    trailers: Option<Fields>,
    /// The last record came.
    last: bool,
}

/// Why a request went no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// It ended before its end, or its sender gave it up.
    Cut,
    /// It is no request.
    Invalid,
}

/// What was there right after the head.
pub(crate) enum Early {
    /// All of it: content, and trailers.
    Whole(Vec<u8>, Fields),
    /// A part.
    Part(Part),
    /// Nothing yet.
    No,
}

impl From<RecordError> for Broken {
    fn from(error: RecordError) -> Self {
        // A type that is authentic and unknown is its sender's, everything else may be anybody's.
        if matches!(error, RecordError::Type(_)) { Self::Invalid } else { Self::Cut }
    }
}

impl From<MessageError> for Broken {
    fn from(error: MessageError) -> Self {
        if error == MessageError::Truncated { Self::Cut } else { Self::Invalid }
    }
}

impl Inbound {
    /// What follows the first record in `body`.
    pub(crate) fn new(body: Upload, first: &Record, opener: Opener) -> Result<Self, Broken> {
        let mut inbound = Self { body, opener, decoder: Decoder::request(), trailers: None, last: false };
        inbound.take(first)?;
        Ok(inbound)
    }

    /// The head.
    pub(crate) async fn head(&mut self) -> Result<RequestHead, Broken> {
        match self.next().await? {
            Some(Part::Request(head)) => Ok(head),
            _ => Err(Broken::Invalid),
        }
    }

    /// What follows the head, where that is there already, or is worth waiting for: most requests of some
    /// methods have no content, and then should have no body that says so.
    pub(crate) async fn early(&mut self, method: &str) -> Result<Early, Broken> {
        if !self.last && !matches!(method, "GET" | "HEAD") {
            return Ok(Early::No);
        }
        let mut content = Vec::new();
        loop {
            match self.next().await?.unwrap_or(Part::End(Fields::new())) {
                Part::End(trailers) => return Ok(Early::Whole(content, trailers)),
                Part::Content(more) if self.last && content.is_empty() => content = more,
                Part::Content(more) if self.last => content.extend(more),
                part => return Ok(Early::Part(part)),
            }
        }
    }

    /// The next part. The end comes after the last record only: before it nothing says that nothing is missing.
    pub(crate) async fn next(&mut self) -> Result<Option<Part>, Broken> {
        loop {
            match self.decoder.next_part()? {
                Some(Part::End(trailers)) => self.trailers = Some(trailers),
                Some(part) => return Ok(Some(part)),
                None if self.last => {
                    self.decoder.finish()?;
                    return Ok(self.trailers.take().map(Part::End));
                }
                None => self.read().await?,
            }
        }
    }

    /// Reads one record.
    async fn read(&mut self) -> Result<(), Broken> {
        loop {
            if let Some(record) = self.opener.next_record()? {
                return self.take(&record);
            }
            match next_frame(&mut self.body).await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.opener.feed(&data)?;
                    }
                }
                Some(Err(_)) => return Err(Broken::Cut),
                None => {
                    let record = self.opener.end()?.ok_or(Broken::Cut)?;
                    return self.take(&record);
                }
            }
        }
    }

    fn take(&mut self, record: &Record) -> Result<(), Broken> {
        self.last = record.last;
        match record.kind {
            Kind::Data => self.decoder.feed(&record.content),
            Kind::Pad => {}
            Kind::Reset | Kind::Error => return Err(Broken::Cut),
            _ => return Err(Broken::Invalid),
        }
        Ok(())
    }
}
