import com.pixelmed.validate.DicomSRValidator;

/** Runs pixelmed's validator of SR templates on many files in one JVM: `java -cp JAR THIS FILE...`. */
public class ValidateReports {
    public static void main(String[] files) throws Exception {
        DicomSRValidator validator = new DicomSRValidator();
        for (String file : files) {
            System.out.println("== " + file);
            System.out.print(validator.validate(file, false, false, false, false, false));
            System.out.println();
        }
    }
}
