package shoal.bridge.kernel.device;

/** What a kernel is given, in the order of its parameters. */
public sealed interface Argument {
    record Memory(DeviceBuffer buffer) implements Argument {}

    record Whole(int value) implements Argument {}

    record Real(float value) implements Argument {}
}
