"""Run the node: `python -m dicom_ai_node`."""

from dicom_ai_node.cli import main

if __name__ == "__main__":
    main()
