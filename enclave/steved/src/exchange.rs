//! An exchange: a request to the app, and what comes of it.

use crate::alarm::Alarm;
use crate::begin::Started;
use crate::body::{Pipe, Sink, beside, next_frame};
use crate::channel::{Receiver, channel};
use crate::inbound::{Broken, Early, Inbound};
use crate::outbound::{Gone, Outbound};
use crate::request::{self, Came};
use crate::seated::Upload;
use crate::server::Shared;
use crate::upstream::{Connection, NoResponse};
use bytes::Bytes;
use caution_steve::http::{Part, ResponseHead};
use caution_steve::{SealedCode, SealedError, SessionId};
use hyper::body::{Frame, Incoming};
use hyper::{HeaderMap, Response};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

/// Why there is no response, or no more of it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Failure {
    /// To be said inside, and whether the app may have acted.
    Say(SealedCode, bool),
    /// There is nobody to say it to.
    Gone,
}

impl From<Gone> for Failure {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<NoResponse> for Failure {
    fn from(why: NoResponse) -> Self {
        match why {
            NoResponse::Unsent => Self::Say(SealedCode::UpstreamUnavailable, false),
            NoResponse::Broken => BROKEN,
        }
    }
}

/// The work of one exchange, from its first record to its last.
pub(crate) async fn run(shared: Arc<Shared>, alarm: Alarm, started: Started, body: Upload, sink: Sink) {
    let Started { begun, session, turn } = started;
    let mut outbound = Outbound::new(begun.sealer, sink);
    let Some(_turn) = turn else { return outbound.fail(&BUSY).await };
    let inbound = Inbound::new(body, &begun.first, begun.opener);
    let limits = &shared.settings.limits;
    let exchange = exchange(&shared, &alarm, session, inbound, &mut outbound);
    let outcome = alarm.limit(limits.exchange, Box::pin(exchange)).await.unwrap_or(Err(TOO_LONG));
    let last = async {
        match outcome {
            Ok(trailers) => drop(outbound.end(&request::to_fields(&trailers)).await),
            Err(failure) => failure.say(outbound).await,
        }
    };
    // Who does not take even that has no end.
    let _ = alarm.limit(limits.patience, last).await;
}

impl Failure {
    /// What a request that broke is called.
    pub(crate) fn of(broken: Broken, executed: bool) -> Self {
        let code = match broken {
            Broken::Cut => SealedCode::Reset,
            Broken::Invalid => SealedCode::HeadInvalid,
        };
        Self::Say(code, executed)
    }

    /// Says it, where there is somebody to say it to.
    pub(crate) async fn say(self, outbound: Outbound) {
        if let Self::Say(code, executed) = self {
            outbound.fail(&SealedError { code, executed, retry_after_s: None }).await;
        }
    }
}

/// The response up to its trailers.
async fn exchange(
    shared: &Shared,
    alarm: &Alarm,
    session: SessionId,
    inbound: Result<Inbound, Broken>,
    outbound: &mut Outbound,
) -> Result<HeaderMap, Failure> {
    let settings = &shared.settings;
    let unsent = |broken| Failure::of(broken, false);
    let mut inbound = inbound.map_err(unsent)?;
    let invalid = Failure::Say(SealedCode::HeadInvalid, false);
    let head = alarm.limit(settings.limits.patience, inbound.head()).await.ok_or(invalid)?.map_err(unsent)?;
    let silence = Silence { alarm, limit: settings.limits.silence };
    let early = {
        let mut early = pin!(inbound.early(&head.method));
        loop {
            match silence.limit(early.as_mut()).await {
                Some(early) => break early.map_err(unsent)?,
                None => outbound.pad().await?,
            }
        }
    };
    let (mut content, pipe) = match early {
        Early::Whole(content, trailers) => {
            (None, Pipe::whole(content.into(), request::to_map(&trailers).ok_or(invalid)?))
        }
        Early::Part(part) => with_pipe(Some(part)),
        Early::No => with_pipe(None),
    };
    let mut request =
        request::to_app(&head, pipe, settings.protocol, Came::by_3(settings.suite)).ok_or(invalid)?;
    let (said, mut informational) = channel(INFORMATIONAL);
    hyper::ext::on_informational(&mut request, move |response| {
        // Nobody has to have them, so those that come faster than they can pass do not.
        said.try_send(request::from_app(response.status(), response.headers()));
    });
    let response = pin!(shared.upstream.send(settings, session, request));
    // When the request breaks off, so does the app's, and this is why.
    let broken = OnceLock::new();
    let upload = async {
        if let Some((sink, first)) = content.take()
            && let Err(why) = pass_on(&mut inbound, sink, first).await
        {
            broken.get_or_init(|| Failure::of(why, true));
        }
    };
    let download = async {
        let (content, mut connection) = head_of(response, &mut informational, outbound, silence).await?;
        let trailers = beside(&mut connection.work, content_of(content, outbound, silence)).await?;
        shared.upstream.give(settings, session, connection);
        Ok(trailers)
    };
    let outcome = beside(upload, download).await;
    match (outcome, broken.get()) {
        (Err(Failure::Say(..)), Some(why)) => Err(*why),
        (outcome, _) => outcome,
    }
}

/// How long nothing is said.
#[derive(Clone, Copy)]
pub(crate) struct Silence<'a> {
    pub(crate) alarm: &'a Alarm,
    pub(crate) limit: Duration,
}

impl Silence<'_> {
    /// What is said, nothing where a record without content has to be.
    async fn limit<T>(self, next: impl Future<Output = T>) -> Option<T> {
        self.alarm.limit(self.limit, next).await
    }
}

type Content = Option<(Sink, Option<Part>)>;

fn with_pipe(first: Option<Part>) -> (Content, Pipe) {
    let (sink, pipe) = Pipe::new();
    (Some((sink, first)), pipe)
}

/// Passes the request's content on to the app. Without an end, where it breaks, so that nobody takes it for whole.
async fn pass_on(inbound: &mut Inbound, sink: Sink, first: Option<Part>) -> Result<(), Broken> {
    let mut next = first;
    loop {
        let part = match next.take() {
            Some(part) => part,
            None => inbound.next().await?.ok_or(Broken::Cut)?,
        };
        match part {
            // An app that reads no further answers, or breaks off: its response says so.
            Part::Content(bytes) => {
                if !sink.data(bytes.into()).await {
                    return Ok(());
                }
            }
            Part::End(trailers) => {
                sink.end(request::to_map(&trailers).ok_or(Broken::Invalid)?).await;
                return Ok(());
            }
            Part::Request(_) | Part::Response(_) => return Err(Broken::Invalid),
        }
    }
}

/// Passes informational heads on, then the one they precede.
async fn head_of(
    response: impl Future<Output = Result<(Response<Incoming>, Connection<Pipe>), NoResponse>>,
    informational: &mut Receiver<ResponseHead>,
    outbound: &mut Outbound,
    silence: Silence<'_>,
) -> Result<(Incoming, Connection<Pipe>), Failure> {
    let mut response = pin!(response);
    loop {
        let next = poll_fn(|context| match informational.poll_recv(context) {
            Poll::Ready(Some(head)) => Poll::Ready(Ok(head)),
            Poll::Ready(None) | Poll::Pending => response.as_mut().poll(context).map(Err),
        });
        match silence.limit(next).await {
            None => outbound.pad().await?,
            Some(Ok(head)) => {
                outbound.head(&head).map_err(|_| BROKEN)?;
                outbound.flush().await?;
            }
            Some(Err(response)) => {
                let (response, connection) = response?;
                // Those that came with it.
                while let Some(head) = informational.try_recv() {
                    outbound.head(&head).map_err(|_| BROKEN)?;
                }
                let (head, content) = response.into_parts();
                // A switch of protocols that nobody asked for.
                if head.status.is_informational() {
                    return Err(BROKEN);
                }
                outbound.head(&request::from_app(head.status, &head.headers)).map_err(|_| BROKEN)?;
                return Ok((content, connection));
            }
        }
    }
}

/// Passes content on as it comes; gives the trailers.
pub(crate) async fn content_of(
    mut content: Incoming,
    outbound: &mut Outbound,
    silence: Silence<'_>,
) -> Result<HeaderMap, Failure> {
    let mut trailers = HeaderMap::new();
    loop {
        let frame = if let Some(frame) = at_once(&mut content).await {
            frame
        } else {
            outbound.flush().await?;
            let Some(frame) = silence.limit(next_frame(&mut content)).await else {
                outbound.pad().await?;
                continue;
            };
            frame
        };
        let Some(frame) = frame else { return Ok(trailers) };
        let frame = frame.map_err(|_| BROKEN)?;
        match frame.into_data() {
            Ok(data) => outbound.content(&data).await?,
            Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
}

type NextFrame = Option<hyper::Result<Frame<Bytes>>>;

/// The next frame, where it takes no waiting: so a short response is one record.
async fn at_once(content: &mut Incoming) -> Option<NextFrame> {
    for _ in 0..2 {
        let mut next = pin!(next_frame(content));
        let polled = poll_fn(|context| Poll::Ready(next.as_mut().poll(context))).await;
        if let Poll::Ready(frame) = polled {
            return Some(frame);
        }
        // The connection, which is polled beside this, learns that somebody wants to read.
        tokio::task::yield_now().await;
    }
    None
}

/// The session has as many exchanges as it may.
pub(crate) const BUSY: SealedError =
    SealedError { code: SealedCode::Busy, executed: false, retry_after_s: Some(1) };
/// The app broke off, or said what no app says.
pub(crate) const BROKEN: Failure = Failure::Say(SealedCode::UpstreamTruncated, true);
/// An exchange that lasts longer than any may.
pub(crate) const TOO_LONG: Failure = Failure::Say(SealedCode::UpstreamTimeout, true);
/// Informational heads that wait to pass.
const INFORMATIONAL: usize = 16;
