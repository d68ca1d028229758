package io.millrace.gateway.stream;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.shared.id.RequestId;
import io.millrace.shared.proto.ChoiceResult;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.ResponseShape;
import io.millrace.shared.proto.ResponseShape.Api;
import io.millrace.shared.proto.Result;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.proto.Usage;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.Test;

/** A result that is kept tells what the journal told. */
class StoredAnswerTest {

    private static final RequestId ID = RequestId.of(3, new byte[16]);
    private static final Call CALL = new Call(List.of(new Call.Part(
            ID,
            Submit.newBuilder()
                    .setShape(ResponseShape.newBuilder().setApi(Api.RESPONSES))
                    .build())));

    private static Result.Builder result(String status) {
        return Result.newBuilder().setId(ID.text()).setReq(42).setStatus(status);
    }

    private static ApiError error(Result.Builder result) {
        JournalRecord last = StoredAnswer.records(result.build()).getLast();
        return Objects.requireNonNull(JournalErrors.of(last, CALL, 0));
    }

    @Test
    void aRefusalAndAFailureNameTheFieldAsTheClientDoes() {
        for (String status : List.of("refused", "failed")) {
            assertThat(error(result(status)
                            .setErrorStatus(400)
                            .setErrorCode("MR-ENGINE-002")
                            .setErrorMessage("too long")
                            .setErrorParam("messages")))
                    .isEqualTo(ApiError.of(400, "MR-ENGINE-002", "input", "too long"));
        }
        assertThat(error(result("failed").setErrorStatus(500).setErrorCode("poison"))
                        .param())
                .as("where it is no field's fault")
                .isNull();
    }

    @Test
    void oneThatItsDeadlineEndedIsNoneThatSomebodyCancelled() {
        assertThat(error(result("cancelled").setCancelCause("deadline")))
                .extracting(ApiError::status, ApiError::code)
                .containsExactly(504, "deadline_exceeded");
        ApiError cancelled = error(result("cancelled").setCancelCause("client"));
        assertThat(cancelled.status()).isEqualTo(499);
        assertThat(cancelled.message()).contains("client");
    }

    @Test
    void anAnswerHasItsTextItsEndAndItsUsage() {
        List<JournalRecord> records = StoredAnswer.records(result("completed")
                .setUsage(Usage.newBuilder().setPromptTokens(3).setCompletionTokens(2))
                .addChoices(ChoiceResult.newBuilder()
                        .setText("yes")
                        .addIds(7)
                        .addIds(8)
                        .setFinishReason("length"))
                .build());
        assertThat(records).allSatisfy(each -> assertThat(each.getReq()).isEqualTo(42));
        assertThat(records.get(2).getTokens().getText()).isEqualTo("yes");
        assertThat(records.get(2).getTokens().getIdsList()).containsExactly(7, 8);
        assertThat(records.getLast().getEnd().getFinishReason()).isEqualTo("length");
        assertThat(records.getLast().getEnd().getN()).isEqualTo(2);
        assertThat(records.getLast().getEnd().getUsage().getCompletionTokens()).isEqualTo(2);
    }
}
