package io.millrace.gateway.limits;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.millrace.gateway.node.ClusterView;
import io.millrace.gateway.node.Gossip;
import io.millrace.gateway.node.ModelState;
import io.millrace.gateway.node.NodeSettings;
import io.millrace.gateway.stream.ApiException;
import io.millrace.shared.log.Clock;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.proto.MemberBeat;
import io.millrace.shared.proto.ModelCredit;
import io.millrace.shared.topic.Topic;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.Test;

/** What a refusal costs: nothing. */
class AdmissionTest {

    private static final Duration LONG = Duration.ofHours(1);
    private final ClusterView view =
            new ClusterView(new NodeSettings("g", LONG, LONG, LONG, LONG, LONG, LONG, 1024), Clock.SYSTEM, Gossip.NONE);
    private final Admission admission =
            new Admission(view, new Quotas("g", 200, Clock.SYSTEM), 1000, Duration.ofSeconds(1));

    private ModelState credits(int credits, String... fullTenants) {
        MemberBeat beat = MemberBeat.newBuilder()
                .setNode("r")
                .setRole(MemberBeat.Role.ROUTER)
                .addCredits(ModelCredit.newBuilder()
                        .setModel("m")
                        .setCredits(credits)
                        .setWorkers(1)
                        .addAllFullTenants(List.of(fullTenants)))
                .build();
        view.onRecord(new LogRecord(Topic.MEMBERS, 0, 0, 0, "r", beat.toByteArray()));
        ModelState model = view.model("m");
        if (model == null) {
            throw new IllegalStateException("the view has not heard the router");
        }
        return model;
    }

    private void refused(TenantLimits limits, ModelState model, long tokens, String said) {
        assertThatThrownBy(() -> admission.admit(new Account("t", limits), "t", model, 1, tokens))
                .isInstanceOf(ApiException.class)
                .hasMessageContaining(said);
    }

    @Test
    void aFullQueueLeavesTheTenantsQuotaAlone() {
        var limits = new TenantLimits(2, 100, 0);
        ModelState full = credits(0);
        for (int i = 0; i < 20; i++) {
            refused(limits, full, 50, "MR-GW-012");
        }
        ModelState free = credits(10);
        assertThat(admission.admit(new Account("t", limits), "t", free, 1, 50)).isNotNull();
        assertThat(admission.admit(new Account("t", limits), "t", free, 1, 50)).isNotNull();
        refused(limits, free, 1, "requests per minute");
    }

    @Test
    void whoFillsItsPartOfTheQueueIsRefusedAndNobodyElse() {
        ModelState model = credits(10, "t");
        refused(TenantLimits.NONE, model, 1, "yours take all the places");
        assertThat(admission.admit(new Account("u", TenantLimits.NONE), "u", model, 1, 1))
                .isNotNull();
    }

    @Test
    void tooManyTokensOrTooManyAtOnceTakeNoRequestOfTheMinute() {
        var limits = new TenantLimits(3, 100, 1);
        ModelState model = credits(10);
        Admission.Admitted first = admission.admit(new Account("t", limits), "t", model, 1, 80);
        for (int i = 0; i < 20; i++) {
            refused(limits, model, 1, "concurrent requests");
        }
        first.settle(80);
        for (int i = 0; i < 20; i++) {
            refused(limits, model, 90, "tokens per minute");
        }
        admission.admit(new Account("t", limits), "t", model, 1, 5).settle(5);
        admission.admit(new Account("t", limits), "t", model, 1, 5).settle(5);
        refused(limits, model, 1, "requests per minute");
    }

    @Test
    void whatIsLeftOfLimitsIsTold() {
        var limits = new TenantLimits(4, 1000, 0);
        admission.admit(new Account("t", limits), "t", credits(10), 1, 500);

        Rates rates = admission.rates(new Account("t", limits));
        assertThat(rates.requests()).isEqualTo(new Rates.Rate(4, 3, 15_000));
        Rates.Rate tokens = Objects.requireNonNull(rates.tokens());
        assertThat(tokens.remaining()).isBetween(500L, 900L);
        assertThat(tokens.resetMs()).isEqualTo((1000 - tokens.remaining()) * 60);
        assertThat(admission.rates(new Account("other", limits)).requests()).isEqualTo(new Rates.Rate(4, 4, 0));
        assertThat(admission.rates(new Account("t", TenantLimits.NONE))).isEqualTo(new Rates(null, null));
    }
}
