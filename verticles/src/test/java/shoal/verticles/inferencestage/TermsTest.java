package shoal.verticles.inferencestage;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import org.junit.jupiter.api.Test;
import shoal.codec.base.Contact;
import shoal.codec.base.Endpoint;
import shoal.codec.base.Epoch;
import shoal.codec.base.Hash256;
import shoal.codec.base.LayerRange;
import shoal.codec.base.NodeId;
import shoal.codec.command.Command;
import shoal.codec.wire.ActivationType;

final class TermsTest {
    private final Terms terms = new Terms();

    @Test
    void theLatestTermCountsAndItsCoordinatorAlone() {
        assertEquals(0, terms.outranks(task("stories", 2, "one")));
        assertEquals(0, terms.outranks(task("stories", 2, "one")));
        assertEquals(2, terms.outranks(task("stories", 1, "two")));
        assertEquals(2, terms.outranks(task("stories", 2, "two")));
        assertEquals(0, terms.outranks(task("stories", 3, "two")));
        assertEquals(3, terms.outranks(task("stories", 2, "one")));
    }

    @Test
    void eachModelHasTermsOfItsOwn() {
        assertEquals(0, terms.outranks(task("stories", 9, "one")));
        assertEquals(0, terms.outranks(task("others", 1, "two")));
    }

    @Test
    void ofVeryManyModelsTheOldestIsForgotten() {
        terms.outranks(task("first", 9, "one"));
        for (int i = 0; i < 1024; i++) {
            terms.outranks(task("model" + i, 1, "one"));
        }
        assertEquals(0, terms.outranks(task("first", 1, "two")));
    }

    private static Command.ExecuteTask task(String model, int term, String coordinator) {
        var from =
                new Contact(new NodeId(Hash256.sha256(coordinator.getBytes())), List.of(new Endpoint("127.0.0.1", 1)));
        return new Command.ExecuteTask(
                1,
                Epoch.FIRST,
                0,
                0,
                new LayerRange(0, 1),
                Hash256.ZERO,
                null,
                from,
                ActivationType.F16,
                64,
                false,
                new Command.Term(Hash256.sha256(model.getBytes()), term));
    }
}
