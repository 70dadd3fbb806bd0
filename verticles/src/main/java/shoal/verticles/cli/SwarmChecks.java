package shoal.verticles.cli;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.random.RandomGenerator;
import java.util.stream.StreamSupport;
import shoal.codec.base.ByteWriter;
import shoal.codec.base.Contact;
import shoal.codec.base.Endpoint;
import shoal.codec.base.Hash256;
import shoal.codec.base.LayerRange;
import shoal.codec.base.MalformedException;
import shoal.codec.base.NodeId;
import shoal.codec.dht.DhtKeys;
import shoal.verticles.client.SwarmProbe;
import shoal.verticles.quic.PeerRefusedException;
import tools.jackson.databind.JsonNode;

/** Compares what a coordinator says of its swarm with what others show, row by row. */
final class SwarmChecks {
    private final JsonNode proof;
    private final RandomGenerator random;
    private final List<Row> rows = new ArrayList<>();

    /**
     * One line of the table.
     *
     * @param check the kind: files, DHT, loaded, stages
     * @param found in words
     */
    record Row(String check, String what, boolean ok, String found) {}

    /** @param proof the coordinator's answer to {@code POST /v1/shoal/proof} */
    SwarmChecks(JsonNode proof, RandomGenerator random) {
        this.proof = proof;
        this.random = random;
    }

    List<Row> rows() {
        return rows;
    }

    private void row(String check, String what, boolean ok, String found) {
        rows.add(new Row(check, what, ok, found));
    }

    // ----------------------------------------------------------------------------------- files and the DHT

    /** Is each file to be had from somebody, whole and right; and does the DHT name those who have it and its layers? */
    void filesAndRecords(SwarmProbe probe, List<Endpoint> first) {
        var inDht = new ArrayList<Row>();
        Set<Hash256> seen = new HashSet<>();
        for (JsonNode file : proof.path("files")) {
            Hash256 root = Hash256.parse(file.path("pieces_root").asString());
            LayerRange layers = layers(file);
            String name = file.path("name").asString();
            try {
                List<Contact> seeders = probe.providers(first, DhtKeys.file(root));
                if (seen.add(root)) {
                    String what = proof.path("unsplit").asBoolean()
                            ? proof.path("model").asString()
                            : name;
                    inDht.add(new Row("DHT", what, !seeders.isEmpty(), records(seeders)));
                    copies(probe, what, root, seeders);
                }
                List<Contact> ready = probe.providers(
                        first,
                        DhtKeys.layers(Hash256.parse(proof.path("model_root").asString()), layers));
                inDht.add(withOwner(file, layers, ready));
            } catch (PeerRefusedException unreachable) {
                inDht.add(new Row("DHT", name, false, "the DHT cannot be asked: " + unreachable.getMessage()));
            }
        }
        rows.addAll(inDht);
    }

    private void copies(SwarmProbe probe, String what, Hash256 root, List<Contact> seeders) {
        int whole = 0;
        int parts = 0;
        var wrong = new ArrayList<String>();
        for (Contact seeder : seeders) {
            try {
                SwarmProbe.Copy copy = probe.copy(seeder, root, random);
                whole += copy.isWhole() ? 1 : 0;
                parts += copy.isWhole() ? 0 : 1;
            } catch (PeerRefusedException | MalformedException failure) {
                wrong.add(seeder.id().toShortHex() + ": " + failure.getMessage());
            }
        }
        String found = whole
                + (whole == 1 ? " whole copy" : " whole copies")
                + (parts == 0 ? "" : ", " + parts + " in part")
                + (whole + parts == 0 ? "" : ", a piece of each has the right hash");
        row("files", what, whole > 0, wrong.isEmpty() ? found : found + "; not from " + String.join("; ", wrong));
    }

    private static String records(List<Contact> providers) {
        return providers.isEmpty()
                ? "no record"
                : providers.size() + (providers.size() == 1 ? " signed record" : " signed records") + ": "
                        + String.join(
                                ", ",
                                providers.stream()
                                        .map(each -> each.id().toShortHex())
                                        .toList());
    }

    private static Row withOwner(JsonNode file, LayerRange layers, List<Contact> ready) {
        Set<NodeId> announced = new HashSet<>();
        ready.forEach(contact -> announced.add(contact.id()));
        var missing = StreamSupport.stream(file.path("nodes").spliterator(), false)
                .map(node -> NodeId.parse(node.asString()))
                .limit(1) // the others may still be loading
                .filter(node -> !announced.contains(node))
                .map(NodeId::toShortHex)
                .toList();
        return new Row(
                "DHT",
                "layers " + layers,
                missing.isEmpty() && !ready.isEmpty(),
                missing.isEmpty()
                        ? records(ready)
                        : "no record of " + String.join(", ", missing) + "; " + records(ready));
    }

    private static LayerRange layers(JsonNode entry) {
        return new LayerRange(
                entry.path("layers").path(0).asInt(),
                entry.path("layers").path(1).asInt());
    }

    // -------------------------------------------------------------------------------------- loaded, and used

    /** Does each node itself say that it has loaded what it is to compute? */
    void loaded() {
        for (JsonNode stage : proof.path("stages")) {
            boolean loaded = stage.path("loaded").asBoolean();
            row(
                    "loaded",
                    "layers " + layers(stage),
                    loaded,
                    shortened(stage) + (loaded ? " has them loaded" : " does not have them loaded"));
        }
    }

    private static String shortened(JsonNode stage) {
        return NodeId.parse(stage.path("node").asString()).toShortHex();
    }

    /** Did all tokens pass each stage, and did each stage get just what the one before it sent? */
    void generation() {
        int prompt = proof.path("prompt_tokens").size();
        int generated = proof.path("tokens").size();
        String trouble = proof.path("trouble").asString("");
        row(
                "generation",
                proof.path("model").asString(),
                trouble.isEmpty() && generated > 0,
                trouble.isEmpty() ? prompt + " tokens of a prompt, " + generated + " generated" : trouble);
        long expected = prompt + generated - 1L;
        JsonNode stages = proof.path("stages");
        for (int i = 0; i < stages.size(); i++) {
            JsonNode stage = stages.get(i);
            String own = stage.path("trouble").asString("");
            if (!own.isEmpty()) {
                row("stages", "layers " + layers(stage), false, shortened(stage) + ": " + own);
                continue;
            }
            boolean last = i == stages.size() - 1;
            long in = stage.path("tokens_in").asLong();
            String hashIn = stage.path("hash_in").asString("");
            String before = i == 0
                    ? hashOfIds(expected)
                    : stages.get(i - 1).path("hash_out").asString("");
            boolean got = in == expected && hashIn.equals(before);
            boolean gave = !last
                    || stage.path("tokens_out").asLong() == generated
                            && stage.path("hash_out").asString("").equals(hashOfSampled());
            String found = in + " tokens in, " + stage.path("tokens_out").asLong() + " out";
            String wrong = in != expected
                    ? " instead of " + expected
                    : !hashIn.equals(before)
                            ? "; what came in is not what " + (i == 0 ? "the coordinator" : "the stage before")
                                    + " sent"
                            : !gave ? "; what it sampled is not what the coordinator got" : "";
            row(
                    "stages",
                    "layers " + layers(stage),
                    got && gave,
                    shortened(stage) + ": " + found + wrong
                            + (got && gave
                                    ? ", " + hashIn.substring(0, 8) + " → "
                                            + stage.path("hash_out")
                                                    .asString("")
                                                    .substring(0, 8)
                                    : ""));
        }
        if (stages.isEmpty()) {
            row("stages", "", false, "the coordinator names none");
        }
    }

    /** Of the ids that the first stage gets: the prompt and all that was generated but the last. */
    private String hashOfIds(long count) {
        var bytes = new ByteWriter();
        int written = 0;
        for (String key : List.of("prompt_tokens", "tokens")) {
            for (JsonNode token : proof.path(key)) {
                if (written++ < count) {
                    bytes.putInt(token.asInt());
                }
            }
        }
        return Hash256.sha256(bytes.toBytes()).toHex();
    }

    private String hashOfSampled() {
        var bytes = new ByteWriter();
        proof.path("tokens").forEach(token -> bytes.putInt(token.asInt()));
        return Hash256.sha256(bytes.toBytes()).toHex();
    }
}
