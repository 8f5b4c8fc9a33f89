//! `Idempotency-Key`: what is asked twice is done once.

use super::call::Call;
use crate::app::Refused;
use crate::store::idempotency::{self, Kept};
use caution_api::{ErrorCode, Problem};
use caution_measure::Sha256Digest;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::AnyConnection;

impl Call<'_> {
    /// Does what is asked for; where this same request was answered before, gives that answer instead.
    pub(super) async fn once<T: Serialize + DeserializeOwned>(
        &self,
        db: &mut AnyConnection,
        question: &impl Serialize,
        work: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        let keep = |answer: &T| serde_json::to_string(answer).unwrap_or_default();
        self.once_keeping(db, question, keep, work).await
    }

    /// The same for an answer with a secret: it is not kept, and who asks again is refused.
    pub(super) async fn once_secret<T: DeserializeOwned>(
        &self,
        db: &mut AnyConnection,
        question: &impl Serialize,
        work: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        self.once_keeping(db, question, |_| "null".to_owned(), work).await
    }

    async fn once_keeping<T: DeserializeOwned>(
        &self,
        db: &mut AnyConnection,
        question: &impl Serialize,
        keep: impl FnOnce(&T) -> String,
        work: impl AsyncFnOnce(&mut AnyConnection) -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        let Some(key) = self.key()? else { return work(db).await };
        let question = self.digest(question);
        if let Some(kept) = idempotency::find(db, self.caller.account, key).await? {
            let reused = |text: &str| Refused::Told(Problem::new(ErrorCode::KeyReused, text));
            if kept.question != question {
                return Err(reused("This `Idempotency-Key` was used for another request."));
            }
            let again = |_| reused("This was done before, and its answer is not told twice.");
            return serde_json::from_str(&kept.answer).map_err(again);
        }
        let answer = work(db).await?;
        let kept = Kept { question, answer: keep(&answer) };
        idempotency::keep(db, self.caller.account, key, &kept).await?;
        Ok(answer)
    }

    fn key(&self) -> Result<Option<&str>, Problem> {
        let Some(value) = self.rqctx.request.headers().get("idempotency-key") else { return Ok(None) };
        let key = value.to_str().ok().filter(|key| (1..=200).contains(&key.len()));
        let wrong =
            || Problem::new(ErrorCode::InvalidRequest, "`Idempotency-Key` has 1 to 200 ASCII characters.");
        key.map(Some).ok_or_else(wrong)
    }

    /// Operation, path and body: what makes a request another one.
    fn digest(&self, question: &impl Serialize) -> Sha256Digest {
        let whole = (
            &self.rqctx.endpoint.operation_id,
            self.rqctx.request.uri().path(),
            serde_json::to_value(question).unwrap_or_default(),
        );
        Sha256Digest::of(&serde_json::to_vec(&whole).unwrap_or_default())
    }
}
