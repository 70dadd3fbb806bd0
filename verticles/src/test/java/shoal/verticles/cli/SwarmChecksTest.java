package shoal.verticles.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Random;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import shoal.codec.base.ByteWriter;
import shoal.codec.base.Hash256;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/** Three prompt tokens and two generated ones through two stages; then one thing after the other is not as it must be. */
class SwarmChecksTest {
    private static final String BETWEEN = "77".repeat(32);

    @Test
    void aTrueAnswerPasses() {
        assertEquals(List.of(), wrong(proof()));
    }

    static Stream<Arguments> lies() {
        return Stream.of(
                lie(
                        "loaded",
                        "does not have them loaded",
                        proof -> stage(proof, 1).put("loaded", false)),
                lie("stages", "the stage before sent", proof -> stage(proof, 0).put("hash_out", "88".repeat(32))),
                lie("stages", "instead of 4", proof -> stage(proof, 1).put("tokens_in", 3)),
                lie("stages", "coordinator sent", proof -> stage(proof, 0).put("hash_in", "99".repeat(32))),
                lie("stages", "coordinator got", proof -> stage(proof, 1).put("hash_out", "99".repeat(32))),
                lie("stages", "noted nothing", proof -> stage(proof, 1).put("trouble", "the node noted nothing")),
                lie("generation", "a node is gone", proof -> proof.put("trouble", "a node is gone")),
                lie("stages", "names none", proof -> proof.putArray("stages")));
    }

    private static Arguments lie(String check, String found, Consumer<ObjectNode> change) {
        return Arguments.of(check, found, change);
    }

    @ParameterizedTest(name = "{0}: {1}")
    @MethodSource("lies")
    void whatIsNotSoIsSeen(String check, String found, Consumer<ObjectNode> change) {
        ObjectNode proof = proof();
        change.accept(proof);
        List<SwarmChecks.Row> wrong = wrong(proof);
        assertEquals(1, wrong.size(), wrong::toString);
        assertEquals(check, wrong.getFirst().check());
        assertTrue(wrong.getFirst().found().contains(found), wrong::toString);
    }

    private static List<SwarmChecks.Row> wrong(ObjectNode proof) {
        var checks = new SwarmChecks(proof, new Random(1));
        checks.loaded();
        checks.generation();
        return checks.rows().stream().filter(row -> !row.ok()).toList();
    }

    private static ObjectNode stage(ObjectNode proof, int stage) {
        return (ObjectNode) proof.path("stages").get(stage);
    }

    private static ObjectNode proof() {
        ObjectNode proof =
                JsonMapper.shared().createObjectNode().put("model", "m").put("trouble", "");
        proof.putArray("prompt_tokens").add(1).add(2).add(3);
        proof.putArray("tokens").add(4).add(5);
        var stages = proof.putArray("stages");
        for (int stage = 0; stage < 2; stage++) {
            ObjectNode entry = stages.addObject()
                    .put("node", ("0" + stage).repeat(32))
                    .put("loaded", true)
                    .put("trouble", "");
            entry.putArray("layers").add(stage).add(stage);
            entry.put("tokens_in", 4)
                    .put("hash_in", stage == 0 ? ids(1, 2, 3, 4) : BETWEEN)
                    .put("tokens_out", stage == 0 ? 4 : 2)
                    .put("hash_out", stage == 0 ? BETWEEN : ids(4, 5));
        }
        return proof;
    }

    private static String ids(int... ids) {
        var bytes = new ByteWriter();
        for (int id : ids) {
            bytes.putInt(id);
        }
        return Hash256.sha256(bytes.toBytes()).toHex();
    }
}
