package shoal.verticles.launcher;

/** Where the fat jar begins. */
public final class Main {
    private Main() {}

    public static void main(String[] args) {
        System.out.println("shoal 0.1.0");
    }
}
