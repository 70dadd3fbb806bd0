package shoal.bridge.library;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.ref.Reference;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/** Turns this process into another program, soon after it has started, where the build has native code. */
public final class NativeExec {
    private NativeExec() {}

    /** Returns only if that is not possible here. @param command the program's path, and what it is given */
    public static void replaceProcess(List<String> command) {
        try {
            LibraryFile.use(file -> {
                System.load(file.toString());
                return file;
            });
            var texts = new ArrayList<ByteBuffer>();
            var addresses =
                    ByteBuffer.allocateDirect((command.size() + 1) * Long.BYTES).order(ByteOrder.nativeOrder());
            for (String word : command) {
                byte[] bytes = word.getBytes(StandardCharsets.UTF_8);
                texts.add(ByteBuffer.allocateDirect(bytes.length + 1).put(bytes).clear()); // zero at the end
                addresses.putLong(address(texts.getLast()));
            }
            execv(address(texts.getFirst()), address(addresses.clear()));
            Reference.reachabilityFence(texts);
            Reference.reachabilityFence(addresses);
        } catch (IOException | LinkageError | IllegalCallerException notHere) {
            // the caller has another way
        }
    }

    private static long address(ByteBuffer buffer) {
        return MemorySegment.ofBuffer(buffer).address();
    }

    private static native int execv(long path, long arguments);
}
